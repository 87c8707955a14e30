//! Before anything is answered: who asks, how, in which version, under which name.

use super::*;

async fn with_token(rig: &Rig, token: &str) -> (u16, Value) {
    answer(rig.request_as(token, Method::GET, "/pulls/41")).await
}

#[tokio::test]
async fn tokens_are_asked_for_and_known() {
    let rig = Rig::new().await;
    let url = format!("{}/repos/{REPO}", rig.double.api_url());
    let (status, body) = answer(rig.http.get(&url)).await;
    assert_eq!((status, &body["message"]), (401, &json!("Requires authentication")));
    let (status, body) = with_token(&rig, "ghp_wrong").await;
    assert_eq!((status, &body["message"]), (401, &json!("Bad credentials")));
    assert_eq!(
        answer(
            rig.http
                .get(&url)
                .header("authorization", format!("token {}", tokens::CLASSIC))
        )
        .await
        .0,
        200
    );
    let response = rig.request(Method::GET, "").send().await.unwrap();
    assert_eq!(header(&response, "x-oauth-scopes"), "repo, workflow");
}

#[tokio::test]
async fn what_a_token_may_not_see_is_not_there_and_what_it_may_not_do_is_refused() {
    let rig = Rig::new().await;
    assert_eq!(with_token(&rig, tokens::STRANGER).await.1["message"], "Not Found");
    assert_eq!(with_token(&rig, tokens::READER).await.0, 200);
    let write = rig
        .request_as(tokens::READER, Method::PATCH, "/pulls/41")
        .json(&json!({ "title": "x" }));
    assert_eq!(answer(write).await.0, 403);
    let repo = answer(rig.request_as(tokens::READER, Method::GET, "")).await.1;
    assert_eq!(repo["permissions"]["push"], false);
    assert!(
        repo.get("allow_merge_commit").is_none(),
        "only writers see what is allowed"
    );
}

#[tokio::test]
async fn a_fine_grained_token_can_not_see_check_runs() {
    let rig = Rig::on(Scenario::FineGrained).await;
    let token = rig.double.token();
    assert!(token.starts_with("github_pat_"));
    let path = format!("/commits/{}/check-runs", "a".repeat(40));
    let response = rig.request_as(&token, Method::GET, &path).send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(header(&response, "x-accepted-github-permissions"), "checks=read");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["message"], "Resource not accessible by personal access token");
    assert_eq!(
        answer(rig.request_as(&token, Method::GET, "/actions/runs")).await.0,
        200
    );
    assert_eq!(
        answer(rig.request(Method::GET, &path)).await.0,
        200,
        "a classic one can"
    );
}

#[tokio::test]
async fn requests_need_a_user_agent_and_no_slash_at_the_end() {
    let rig = Rig::new().await;
    let silent = reqwest::Client::new();
    let url = format!("{}/repos/{REPO}", rig.double.api_url());
    let (status, body) = answer(silent.get(&url).bearer_auth(tokens::CLASSIC)).await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("User-Agent"));
    assert_eq!(rig.get("/pulls/").await.0, 404);
    assert_eq!(rig.get("/").await.0, 404);
}

#[tokio::test]
async fn versions_end_and_say_so_before() {
    let rig = Rig::new().await;
    let ask = async |version| {
        rig.request(Method::GET, "")
            .header("x-github-api-version", version)
            .send()
            .await
            .unwrap()
    };
    let response = ask("2022-11-28").await;
    assert_eq!(header(&response, "x-github-api-version-selected"), "2022-11-28");
    assert_eq!(header(&response, "sunset"), "");
    rig.knobs(|knobs| knobs.sunset = Some("Fri, 10 Mar 2028 00:00:00 GMT".to_owned()));
    assert!(header(&ask("2022-11-28").await, "sunset").contains("2028"));
    assert_eq!(ask("1999-01-01").await.status(), 400);
    let rig = Rig::on(Scenario::VersionGone).await;
    let gone = rig
        .request(Method::GET, "")
        .header("x-github-api-version", "2022-11-28");
    assert_eq!(answer(gone).await.0, 410);
    assert_eq!(rig.get("").await.0, 200, "without a version it is the next one");
}

#[tokio::test]
async fn a_renamed_repository_redirects_and_keeps_its_id() {
    let rig = Rig::on(Scenario::Moved).await;
    let response = rig.request(Method::GET, "/pulls?base=staging").send().await.unwrap();
    assert_eq!(response.status(), 301);
    let there = header(&response, "location").to_owned();
    assert!(there.ends_with("/repositories/1/pulls?base=staging"), "{there}");
    let (status, rows) = answer(rig.http.get(&there).bearer_auth(tokens::CLASSIC)).await;
    assert_eq!((status, rows.as_array().unwrap().len()), (200, 8));
    let write = rig.request(Method::PATCH, "/pulls/41").json(&json!({ "title": "x" }));
    assert_eq!(answer(write).await.0, 307, "writes keep their method");
    let now = format!("{}/repos/acme/web-shop", rig.double.api_url());
    assert_eq!(
        answer(rig.http.get(&now).bearer_auth(tokens::CLASSIC)).await.1["full_name"],
        "acme/web-shop"
    );
}

#[tokio::test]
async fn what_a_doctor_asks() {
    let rig = Rig::new().await;
    let (_, file) = rig.get("/contents/package.json?ref=staging").await;
    assert_eq!((&file["type"], &file["encoding"]), (&json!("file"), &json!("base64")));
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD
        .decode(file["content"].as_str().unwrap())
        .unwrap();
    assert!(String::from_utf8(content).unwrap().contains("\"version\": \"1.4.2\""));
    assert_eq!(rig.get("/contents/nothing.txt").await.0, 404);
    let (_, workflow) = rig.get("/actions/workflows/deploy.yml").await;
    assert_eq!(
        (&workflow["path"], &workflow["state"]),
        (&json!(".github/workflows/deploy.yml"), &json!("active"))
    );
    assert_eq!(rig.get("/actions/workflows/other.yml").await.0, 404);
}

#[tokio::test]
async fn comparisons_know_all_four_relations() {
    let rig = Rig::new().await;
    rig.double.push(REPO, "main", "dan", "x", "1\n").await.unwrap();
    let status = async |span: &str| rig.get(&format!("/compare/{span}")).await.1["status"].clone();
    assert_eq!(status("staging...fix%2Fcart-total").await, "ahead");
    assert_eq!(status("fix/cart-total...staging").await, "behind");
    assert_eq!(status("main...staging").await, "diverged");
    assert_eq!(status("staging...staging").await, "identical");
    assert_eq!(rig.get("/compare/staging...nowhere").await.0, 404);
}

async fn jwt(rig: &Rig, key: &str, issuer: &str, seconds: i64) -> (u16, Value) {
    let now = Utc::now().timestamp();
    let claims = json!({ "iat": now - 60, "exp": now + seconds, "iss": issuer });
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
    let signed = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256),
        &claims,
        &key,
    );
    let url = format!(
        "{}/app/installations/{}/access_tokens",
        rig.double.api_url(),
        tokens::INSTALLATION
    );
    answer(rig.http.post(url).bearer_auth(signed.unwrap())).await
}

use chrono::Utc;

#[tokio::test]
async fn an_apps_own_token_is_checked() {
    let rig = Rig::new().await;
    let stranger = include_str!("../../../github/testdata/app.pem");
    let issuer = tokens::APP_ID.to_string();
    let said = |answer: (u16, Value)| (answer.0, answer.1["message"].as_str().unwrap_or_default().to_owned());
    assert_eq!(
        said(jwt(&rig, stranger, &issuer, 300).await),
        says(401, "A JSON web token could not be decoded")
    );
    assert_eq!(
        said(jwt(&rig, tokens::APP_KEY, &issuer, 900).await),
        says(401, "'Expiration time' claim ('exp') is too far in the future")
    );
    assert!(
        said(jwt(&rig, tokens::APP_KEY, &issuer, -60).await)
            .1
            .contains("future time")
    );
    assert_eq!(
        said(jwt(&rig, tokens::APP_KEY, "1", 300).await),
        says(401, "Integration not found")
    );
    assert_eq!(jwt(&rig, tokens::APP_KEY, &issuer, 300).await.0, 201);
}

#[tokio::test]
async fn installation_tokens_are_long_and_expire() {
    let rig = Rig::on(Scenario::TokenExpiry).await;
    rig.knobs(|knobs| knobs.token_calls = Some(2));
    let fresh = async || {
        let (_, made) = jwt(&rig, tokens::APP_KEY, "77", 300).await;
        assert!(made["expires_at"].is_string());
        made["token"].as_str().unwrap().to_owned()
    };
    let token = fresh().await;
    assert!(token.starts_with("ghs_77_") && token.len() > 100);
    let look = async |token: &str| with_token(&rig, token).await.0;
    assert_eq!(
        [look(&token).await, look(&token).await, look(&token).await],
        [200, 200, 401]
    );
    let next = fresh().await;
    assert_eq!(look(&next).await, 200);
    rig.double.expire_tokens();
    assert_eq!(look(&next).await, 401);
}
