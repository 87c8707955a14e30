//! GitHub's Markdown as Slack's mrkdwn, and as plain text.

use super::Medium;
use crate::slack::kit;
use crate::slack::text::escape;

/// GitHub's Markdown as Slack's mrkdwn, as far as our descriptions and generated notes use it.
pub(super) fn lines(markdown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for row in markdown.lines() {
        let row = row.trim_end();
        if row.trim_start().starts_with("<!--") {
            continue;
        }
        let (indent, body) = row.split_at(row.len() - row.trim_start().len());
        let after_title = lines
            .last()
            .is_some_and(|last: &String| last.starts_with('*') && last.ends_with('*'));
        if body.is_empty() && after_title {
            continue;
        }
        let converted = if let Some(title) = body.strip_prefix('#') {
            format!("*{}*", line(title.trim_start_matches('#').trim()))
        } else if let Some(item) = body.strip_prefix("- ").or_else(|| body.strip_prefix("* ")) {
            format!("{indent}• {}", line(item))
        } else {
            line(body)
        };
        if !(converted.is_empty() && lines.last().is_none_or(|last: &String| last.is_empty())) {
            lines.push(converted);
        }
    }
    lines
}

/// One line: links and code kept, everything else escaped; backslash escapes and entities of our own descriptions resolved first.
pub(super) fn line(markdown: &str) -> String {
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, label, url, after)) = next_link(rest) {
        out += &code(before);
        out += &kit::link(url, &escape(&unescaped(label)));
        rest = after;
    }
    out + &code(rest)
}

/// One line where nothing is marked up: links as their label and address.
pub(super) fn plain(markdown: &str) -> String {
    let text = |text: &str| Medium::Plain.quote(&unescaped(text));
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, label, url, after)) = next_link(rest) {
        out += &text(before);
        out += &Medium::Plain.link(url, &text(label));
        rest = after;
    }
    out + &text(rest)
}

/// Text between links; what stands in back ticks stays code.
fn code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let whole = parts.len() % 2 == 1 && !text.contains("\\`");
    if !whole {
        return escape(&unescaped(text));
    }
    let part = |(index, part): (usize, &&str)| match index % 2 {
        0 => escape(&unescaped(part)),
        _ => format!(
            "`{}`",
            part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        ),
    };
    parts.iter().enumerate().map(part).collect()
}

fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('[') {
        let open = from + found;
        let escaped = text[..open].ends_with('\\');
        let rest = &text[open + 1..];
        if !escaped
            && let Some(middle) = rest.find("](")
            && let Some(end) = rest[middle + 2..].find(')')
        {
            let url = &rest[middle + 2..middle + 2 + end];
            if url.starts_with("https://") || url.starts_with("http://") {
                return Some((&text[..open], &rest[..middle], url, &rest[middle + 3 + end..]));
            }
        }
        from = open + 1;
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(char::is_ascii_punctuation) => out.extend(chars.next()),
            '\u{2060}' => {}
            '*' if chars.peek() == Some(&'*') => {
                chars.next();
            }
            c => out.push(c),
        }
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_marked_up_a_link_is_its_label_and_its_address() {
        let comment =
            r"Shipped in [v1\.4 \[rc\]](https://github.com/acme/web/releases/tag/v1.4), not in [this](javascript:x).";
        let expected =
            "Shipped in v1.4 [rc] (https://github.com/acme/web/releases/tag/v1.4), not in [this](javascript:x).";
        assert_eq!(plain(comment), expected);
    }
}
