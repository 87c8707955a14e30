//! The built-in repository: a small web shop with four approved pull requests, and four that must stay behind.

use super::bare::Bare;
use super::model::{Issue, Model, Pull, Review, Whereabouts};
use super::scenario::{Scenario, Scenarios};

const PACKAGE_JSON: &str = "{\n  \"name\": \"web\",\n  \"version\": \"1.4.2\",\n  \"private\": true,\n  \"scripts\": { \"build\": \"vite build\", \"test\": \"vitest run\" }\n}\n";
const CARGO_TOML: &str = "[package]\nname = \"web-server\"\nversion = \"1.4.2\" # kept in step with package.json\nedition = \"2024\"\n\n[dependencies]\naxum = \"0.8\"\n";
const WORKFLOW: &str = "name: Deploy\non:\n  push:\n    branches: [staging]\njobs:\n  build: { runs-on: ubuntu-latest, steps: [{ run: make build }] }\n  migrate: { needs: build, runs-on: ubuntu-latest, steps: [{ run: make migrate }] }\n  deploy: { needs: migrate, runs-on: ubuntu-latest, steps: [{ run: make deploy }] }\n";
const CART: &str = "export function total(items) {\n  return items.reduce((sum, item) => sum + item.price, 0);\n}\n\nexport function count(items) {\n  return items.length;\n}\n";
const LOGIN: &str = "export async function login(email, password) {\n  const answer = await post('/session', { email, password });\n  return answer.token;\n}\n";

struct Seed {
    number: u64,
    branch: &'static str,
    title: &'static str,
    author: &'static str,
    body: &'static str,
    files: &'static [(&'static str, &'static str)],
    approved_by: &'static [&'static str],
    draft: bool,
    label: Option<&'static str>,
}

const PULLS: [Seed; 8] = [
    Seed {
        number: 41,
        branch: "fix/double-submit",
        title: "Stop the checkout form from submitting twice",
        author: "ben",
        body: "A slow network and an impatient customer made two orders.\n\nFixes #31",
        files: &[(
            "src/checkout.js",
            "export function submit(form) {\n  if (form.busy) return;\n  form.busy = true;\n  return post('/orders', form.data);\n}\n",
        )],
        approved_by: &["ana"],
        draft: false,
        label: None,
    },
    Seed {
        number: 42,
        branch: "feature/remember-me",
        title: "Remember me on the login page",
        author: "chloe",
        body: "Closes acme/web#28. The cookie lasts thirty days.",
        files: &[
            (
                "src/login.js",
                "export async function login(email, password, remember) {\n  const answer = await post('/session', { email, password, remember });\n  return answer.token;\n}\n",
            ),
            ("src/cookies.js", "export const DAYS = 30;\n"),
        ],
        approved_by: &["dan", "ana"],
        draft: false,
        label: None,
    },
    Seed {
        number: 43,
        branch: "feature/search-filters",
        title: "WIP: search filters",
        author: "dan",
        body: "",
        files: &[("src/search.js", "export const filters = [];\n")],
        approved_by: &[],
        draft: true,
        label: None,
    },
    Seed {
        number: 44,
        branch: "fix/cart-total",
        title: "Count the quantity in the cart's total",
        author: "ana",
        body: "Resolves #33: two of the same were charged once.",
        files: &[(
            "src/cart.js",
            "export function total(items) {\n  return items.reduce((sum, item) => sum + item.price * item.quantity, 0);\n}\n\nexport function count(items) {\n  return items.length;\n}\n",
        )],
        approved_by: &["ben"],
        draft: false,
        label: None,
    },
    Seed {
        number: 45,
        branch: "chore/drop-ie",
        title: "Drop the polyfills for old browsers",
        author: "ben",
        body: "Nobody has used them for a year.",
        files: &[("src/polyfills.js", "// none left\n")],
        approved_by: &["chloe"],
        draft: false,
        label: Some("do-not-deploy"),
    },
    Seed {
        number: 46,
        branch: "feature/dark-mode",
        title: "Dark mode",
        author: "chloe",
        body: "",
        files: &[("src/theme.css", ":root { color-scheme: light dark; }\n")],
        approved_by: &[],
        draft: false,
        label: None,
    },
    Seed {
        number: 47,
        branch: "feature/faster-images",
        title: "Serve images as AVIF where the browser takes it",
        author: "dan",
        body: "Saves 40 % on the product page.",
        files: &[("src/images.js", "export const formats = ['avif', 'webp', 'jpeg'];\n")],
        approved_by: &["ana"],
        draft: false,
        label: None,
    },
    Seed {
        number: 48,
        branch: "feature/new-footer",
        title: "A footer with fewer links",
        author: "ana",
        body: "",
        files: &[("src/footer.html", "<footer>Acme</footer>\n")],
        approved_by: &[],
        draft: false,
        label: None,
    },
];

/// Builds on the first of [`PULLS`].
const STACKED: Seed = Seed {
    number: 49,
    branch: "feature/checkout-spinner",
    title: "Show that the checkout is busy",
    author: "chloe",
    body: "On top of #41.",
    files: &[("src/spinner.js", "export const spinner = '…';\n")],
    approved_by: &["ana"],
    draft: false,
    label: None,
};

/// Has auto-merge in that scenario.
const AUTO_MERGED: u64 = 47;

const ISSUES: [(u64, &str); 4] = [
    (28, "Customers have to log in every day"),
    (31, "Two orders after a slow checkout"),
    (33, "The cart charges for one when there are two"),
    (36, "The footer is too long"),
];

/// Fills an empty repository.
pub async fn fill(bare: &Bare, scenario: &Scenarios) -> Result<Model, String> {
    let mut model = Model::default();
    let files: [(&str, Option<&str>); 7] = [
        ("package.json", Some(PACKAGE_JSON)),
        ("Cargo.toml", Some(CARGO_TOML)),
        ("VERSION", Some("1.4.2\n")),
        (".github/workflows/deploy.yml", Some(WORKFLOW)),
        ("src/cart.js", Some(CART)),
        ("src/login.js", Some(LOGIN)),
        ("README.md", Some("# The Acme shop\n")),
    ];
    let root = bare.commit(None, &files, "Open the shop", "ana", model.tick()).await?;
    bare.set_ref("refs/heads/main", &root).await?;
    let readme = [("README.md", Some("# The Acme shop\n\nAsk in #deploys.\n"))];
    let staging = bare
        .commit(Some(&root), &readme, "Say where to ask", "ben", model.tick())
        .await?;
    bare.set_ref("refs/heads/staging", &staging).await?;
    for (number, title) in ISSUES {
        let title = title.to_owned();
        model.issues.insert(
            number,
            Issue {
                title,
                open: true,
                whereabouts: Whereabouts::Here,
            },
        );
    }
    for seed in PULLS {
        open(bare, &mut model, &seed, "staging", &staging, scenario).await?;
    }
    if scenario.has(Scenario::Stacked) {
        let below = bare.tip(PULLS[0].branch).await.unwrap_or_default();
        open(bare, &mut model, &STACKED, PULLS[0].branch, &below, scenario).await?;
    }
    if scenario.has(Scenario::AutoMerge)
        && let Some(pull) = model.pulls.get_mut(&AUTO_MERGED)
    {
        pull.auto_merge = true;
    }
    model.tips = bare.branches().await?.into_iter().collect();
    Ok(model)
}

async fn open(
    bare: &Bare,
    model: &mut Model,
    seed: &Seed,
    base: &str,
    tip: &str,
    scenario: &Scenarios,
) -> Result<(), String> {
    let mut files: Vec<(&str, Option<&str>)> = seed
        .files
        .iter()
        .map(|(path, content)| (*path, Some(*content)))
        .collect();
    if scenario.has(Scenario::Conflict) && seed.number == 47 {
        // The same line as #44.
        files.push(("src/cart.js", Some("export function total(items) {\n  return items.reduce((sum, item) => sum + item.price - item.discount, 0);\n}\n\nexport function count(items) {\n  return items.length;\n}\n")));
    }
    let head = bare
        .commit(Some(tip), &files, seed.title, seed.author, model.tick())
        .await?;
    bare.set_ref(&format!("refs/heads/{}", seed.branch), &head).await?;
    bare.set_ref(&format!("refs/pull/{}/head", seed.number), &head).await?;
    let mut pull = Pull {
        number: seed.number,
        title: seed.title.to_owned(),
        body: seed.body.to_owned(),
        author: seed.author.to_owned(),
        head: seed.branch.to_owned(),
        head_sha: head.clone(),
        base: base.to_owned(),
        draft: seed.draft,
        open: true,
        labels: seed.label.into_iter().map(str::to_owned).collect(),
        ..Pull::default()
    };
    let mut review = |user: &str, state: &'static str| {
        let id = model.tick();
        pull.reviews.push(Review {
            id,
            user: user.to_owned(),
            state,
            commit: head.clone(),
        });
    };
    if !scenario.has(Scenario::NoApproved) {
        for user in seed.approved_by {
            review(user, "APPROVED");
        }
    }
    if seed.number == 46 {
        review("ben", "CHANGES_REQUESTED");
    }
    if seed.number == 48 {
        // Eve may only read: her approval doesn't count.
        review("eve", "APPROVED");
    }
    model.pulls.insert(seed.number, pull);
    Ok(())
}

/// A real repository: one approved pull request for each branch.
pub async fn adopt(bare: &Bare, branches: &[String]) -> Result<Model, String> {
    let mut model = Model::default();
    let current = bare.git(&["symbolic-ref", "--short", "HEAD"]).await?;
    if bare.tip("staging").await.is_none() {
        let tip = bare
            .tip(&current)
            .await
            .ok_or_else(|| format!("{current} has no commits"))?;
        bare.set_ref("refs/heads/staging", &tip).await?;
    }
    for (index, branch) in branches.iter().enumerate() {
        let head = bare
            .tip(branch)
            .await
            .ok_or_else(|| format!("there is no branch `{branch}` in that repository"))?;
        let number = 101 + index as u64;
        bare.set_ref(&format!("refs/pull/{number}/head"), &head).await?;
        let log = bare.git(&["log", "-1", "--format=%s", &head]).await?;
        let review = Review {
            id: model.tick(),
            user: "ana".to_owned(),
            state: "APPROVED",
            commit: head.clone(),
        };
        let pull = Pull {
            number,
            title: log,
            author: "ben".to_owned(),
            head: branch.clone(),
            head_sha: head,
            base: "staging".to_owned(),
            open: true,
            reviews: vec![review],
            ..Pull::default()
        };
        model.pulls.insert(number, pull);
    }
    model.tips = bare.branches().await?.into_iter().collect();
    Ok(model)
}
