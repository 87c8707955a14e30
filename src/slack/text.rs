//! Other people's words in our messages: a pull request's title must not ping a channel, forge a link or an emoji, or turn the text
//! around it bold.
//!
//! Slack has no escape for its markup beyond `&`, `<` and `>`, so every other control character is replaced by a character that looks
//! the same. Blocks parse `@here`, `#channel` and bare URLs as well (`verbatim` is false by default), so those are broken, too.

/// Makes a text of unknown origin safe to stand in mrkdwn, in one line. Not for text that is escaped already.
pub fn escape(text: &str) -> String {
    let chars: Vec<char> = text.chars().filter_map(visible).collect();
    let mut escaped = String::with_capacity(text.len());
    for (index, &c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| chars.get(index)).copied();
        let rest = &chars[index + 1..];
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // A line that begins with `&gt;` is a quotation.
            '>' if chars[..index].iter().all(|c| c.is_whitespace()) => escaped.push('›'),
            '>' => escaped.push_str("&gt;"),
            '*' => escaped.push('∗'),
            '~' => escaped.push('∼'),
            '`' => escaped.push('ˋ'),
            '_' if !within_word(before, rest) => escaped.push('ˍ'),
            '@' => escaped.push('＠'),
            '#' if rest.first().is_some_and(|c| c.is_alphabetic()) => escaped.push('＃'),
            // Emoji and URLs; the colon of `feat: more` stays.
            ':' if rest.first().is_some_and(|c| !c.is_whitespace()) => escaped.push('∶'),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// At most `max_chars` characters, with `…` where something was cut off. Entities stay whole, so an escaped text can be cut.
pub fn truncate(text: &str, max_chars: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(max_chars) else {
        return text.to_owned();
    };
    let Some((last, _)) = text[..end].char_indices().next_back() else {
        return String::new();
    };
    let kept = &text[..last];
    let kept = match kept.rfind('&') {
        Some(entity) if !kept[entity..].contains(';') && is_entity(&text[entity..]) => &kept[..entity],
        _ => kept,
    };
    format!("{}…", kept.trim_end())
}

/// Our mrkdwn where only plain text is shown: times as their fallback, links as their text, people and groups as what they are.
pub fn plain(mrkdwn: &str) -> String {
    let mut out = String::with_capacity(mrkdwn.len());
    let mut rest = mrkdwn;
    while let Some(open) = rest.find('<') {
        let Some(close) = rest[open..].find('>') else { break };
        out += &rest[..open];
        let token = &rest[open + 1..open + close];
        let begins = out.is_empty() || out.ends_with(". ");
        out += match (token.split_once('|'), token.chars().next()) {
            (Some((_, label)), _) => label,
            (None, Some('@')) if begins => "Somebody",
            (None, Some('@')) => "somebody",
            (None, Some('!')) if begins => "A user group",
            (None, Some('!')) => "a user group",
            (None, Some('#')) => "a channel",
            (None, _) => token,
        };
        rest = &rest[open + close + 1..];
    }
    out += rest;
    let unmarked: String = out.chars().filter(|c| !matches!(c, '*' | '`')).collect();
    unmarked.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn is_entity(text: &str) -> bool {
    ["&amp;", "&lt;", "&gt;"].iter().any(|entity| text.starts_with(entity))
}

/// What people see of a character: white space of any kind is a space, and what reorders, hides or controls is nothing.
fn visible(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        // Direction marks, embeddings, overrides and isolates.
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => None,
        // Zero width, and the invisible twin of ASCII. Joiners stay: emoji and scripts need them.
        '\u{00AD}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// `snake_case` is no markup and stays.
fn within_word(before: Option<char>, rest: &[char]) -> bool {
    before.is_some_and(char::is_alphanumeric) && rest.first().is_some_and(|c| c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_titles_stay_readable_and_do_nothing() {
        let cases = [
            (
                "<!channel> & <https://evil.example|docs>",
                "&lt;!channel&gt; &amp; &lt;https∶//evil.example|docs&gt;",
            ),
            (
                "*bold* _it_ ~no~ `code` snake_case",
                "∗bold∗ ˍitˍ ∼no∼ ˋcodeˋ snake_case",
            ),
            ("@here #general #12 a@b.c", "＠here ＃general #12 a＠b.c"),
            (
                ":white_check_mark: completed at 12:30",
                "∶white_check_mark: completed at 12∶30",
            ),
            ("feat: a\nb\tc\u{7}", "feat: a b c"),
            ("> quoted -> not", "› quoted -&gt; not"),
            ("ok\u{202e}dab\u{2066}\u{200b}", "okdab"),
            ("👩‍🚀 naïve 日本語", "👩‍🚀 naïve 日本語"),
        ];
        for (title, expected) in cases {
            assert_eq!(escape(title), expected);
        }
    }

    #[test]
    fn a_cut_is_shown_and_never_splits_an_entity() {
        assert_eq!(truncate("abc", 3), "abc");
        assert_eq!(truncate("abcd", 3), "ab…");
        assert_eq!(truncate("a b", 2), "a…");
        assert_eq!(truncate("a&amp;b", 5), "a…");
        assert_eq!(truncate("a&amp;bcd", 7), "a&amp;…");
        assert_eq!(truncate("éé", 1), "…");
        assert_eq!(truncate("x", 0), "");
    }

    #[test]
    fn plain_text_has_no_markup_of_ours() {
        assert_eq!(
            plain(
                "🔒 *web* is locked by <@U0BEN> until <!date^1^{time}|12:00 UTC>: `a &amp; b`, see <https://x|the page>."
            ),
            "🔒 web is locked by somebody until 12:00 UTC: a & b, see the page."
        );
        assert_eq!(
            plain("You may not start. <!subteam^S1> or <@U1> may <"),
            "You may not start. A user group or somebody may <"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_slacks_markup_survives(title in any::<String>()) {
            let escaped = escape(&title);
            prop_assert!(!escaped.contains(['<', '>', '*', '~', '`', '@', '\n']), "{escaped}");
            prop_assert!(!escaped.contains("://"), "{escaped}");
            prop_assert!(!escaped.chars().any(char::is_control), "{escaped}");
            let stray = escaped.match_indices('&').any(|(at, _)| !is_entity(&escaped[at..]));
            prop_assert!(!stray, "{escaped}");
            let emoji = regex::Regex::new(r":[^\s:]+:").unwrap();
            prop_assert!(!emoji.is_match(&escaped), "{escaped}");
        }

        #[test]
        fn a_cut_text_fits_and_begins_alike(title in any::<String>(), max in 0usize..40) {
            let escaped = escape(&title);
            let cut = truncate(&escaped, max);
            prop_assert!(cut.chars().count() <= max);
            let stray = cut.match_indices('&').any(|(at, _)| !is_entity(&cut[at..]));
            prop_assert!(!stray, "{cut}");
            prop_assert!(escaped.starts_with(cut.trim_end_matches('…')), "{cut}");
        }
    }
}
