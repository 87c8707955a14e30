//! The same deployment, decided on the dashboard: over a real socket, as a browser does.

use reqwest::redirect::Policy;
use reqwest::{Client, Response, header};

use crate::stage::Stage;

/// Somebody's browser.
struct Browser {
    client: Client,
    base: String,
    cookie: String,
}

impl Browser {
    /// Signed in with a token; in the sandbox the logins are the tokens.
    async fn of(stage: &Stage, token: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        let mut browser = Self {
            client,
            base: format!("http://{}", stage.running().address),
            cookie: String::new(),
        };
        let answer = browser.post("/sign-in", &format!("token={token}")).await;
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut browser.cookie);
        browser
    }

    async fn post(&self, path: &str, body: &str) -> Response {
        let request = self.client.post(format!("{}{path}", self.base));
        request
            .header(header::ORIGIN, &self.base)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.to_owned())
            .send()
            .await
            .unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.base));
        let answer = request.header(header::COOKIE, &self.cookie).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Presses the first button of the page that is sent to `verb` with this word in its address; answers with what comes back.
    async fn presses(&self, verb: &str, word: &str) -> Response {
        let page = self.page("/deployments/web-1").await;
        let between = |before: &str, page: &str| {
            let (_, after) = page.split_once(before)?;
            after.split_once('"').map(|(found, _)| found.replace("&amp;", "&"))
        };
        let form_token = between("name=\"form_token\" value=\"", &page).expect("a form's token");
        let buttons = page.match_indices("formaction=\"").map(|(at, _)| &page[at..]);
        let mut actions = buttons.filter_map(|button| between("formaction=\"", button));
        let action = actions.find(|action| action.contains(verb) && action.contains(word));
        let action = action.unwrap_or_else(|| panic!("no button for {verb} {word}: {page}"));
        self.post(&action, &format!("form_token={form_token}")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_train_is_decided_on_the_dashboard_and_slack_says_by_whom() {
    let stage = Stage::new().await;
    let (ana, ben) = (Browser::of(&stage, "ana").await, Browser::of(&stage, "ben").await);
    stage.plays_to("Confirm").await;
    assert_eq!(ana.presses("/decide", "choice=confirm").await.status(), 303);
    stage.reads("Confirmed by @Ana Ruiz").await;
    stage.sees("Approve").await;
    let refused = ana.presses("/decide", "choice=approve").await;
    assert_eq!(refused.status(), 403);
    let refused = refused.text().await.unwrap();
    assert!(
        refused.contains("You started this deployment, so somebody else must approve it"),
        "{refused}"
    );
    assert_eq!(ben.presses("/decide", "choice=approve").await.status(), 303);
    stage.reads("After the release: 0 of 3 done").await;
    for item in ["item=0", "item=1", "item=2"] {
        assert_eq!(ben.presses("/tick", item).await.status(), 303);
    }
    stage.reads("shipped with 4 pull requests").await;
    let page = ben.page("/").await;
    assert!(page.contains("nothing runs") && page.contains("completed"), "{page}");
    assert!(ben.page("/stats").await.contains("Deployment frequency: 1.0 a week"));
    stage.closes().await;
}
