//! Lists: filters, order, pages and their links, what rows lack.

use super::*;

#[tokio::test]
async fn rows_of_a_list_lack_what_only_the_single_one_has() {
    let rig = Rig::new().await;
    let (_, list) = rig.get("/pulls").await;
    let single = rig.pull(41).await;
    for key in ["mergeable", "mergeable_state", "merged", "merged_by"] {
        assert!(list[0].get(key).is_none(), "{key} in the list");
        assert!(single.get(key).is_some(), "{key} in the single one");
    }
    for key in ["draft", "merge_commit_sha", "merged_at", "head", "base", "auto_merge"] {
        assert!(list[0].get(key).is_some(), "{key} in the list");
    }
}

#[tokio::test]
async fn a_head_filter_without_its_owner_is_ignored() {
    let rig = Rig::new().await;
    let found = async |query: &str| numbers(&rig.get(&format!("/pulls?{query}")).await.1);
    assert_eq!(found("head=acme:fix/cart-total").await, [44]);
    assert_eq!(found("head=acme%3Afix%2Fcart-total&base=staging").await, [44]);
    assert_eq!(found("head=fix/cart-total").await.len(), 8);
    assert_eq!(found("base=main").await, [] as [u64; 0]);
    rig.double.close(REPO, 44).await.unwrap();
    assert_eq!(found("state=closed").await, [44]);
    assert_eq!(found("state=all").await.len(), 8);
}

#[tokio::test]
async fn pages_lead_to_each_other_by_the_repositorys_id() {
    let rig = Rig::new().await;
    let mut url = format!(
        "{}/repos/{REPO}/pulls?sort=created&direction=asc&per_page=3",
        rig.double.api_url()
    );
    let mut seen = Vec::new();
    loop {
        let response = rig.http.get(&url).bearer_auth(tokens::CLASSIC).send().await.unwrap();
        let links = header(&response, "link").to_owned();
        let rows: Value = response.json().await.unwrap();
        seen.extend(numbers(&rows));
        let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""));
        let Some(next) = next else {
            assert!(
                links.contains("rel=\"prev\"") && links.contains("rel=\"first\""),
                "{links}"
            );
            break;
        };
        url = next[1..].split_once('>').unwrap().0.to_owned();
        assert!(url.contains("/repositories/1/pulls?"), "{url}");
    }
    assert_eq!(seen, [41, 42, 43, 44, 45, 46, 47, 48]);
}

#[tokio::test]
async fn pages_shift_when_something_closes_between_them() {
    let rig = Rig::new().await;
    let page = async |number: u32| numbers(&rig.get(&format!("/pulls?per_page=4&page={number}")).await.1);
    assert_eq!(page(1).await, [48, 47, 46, 45]);
    rig.double.close(REPO, 48).await.unwrap();
    assert_eq!(
        page(2).await,
        [43, 42, 41],
        "#44 slipped to the first page and was never seen"
    );
}

#[tokio::test]
async fn lists_inside_objects_are_paged_too() {
    let rig = Rig::new().await;
    let head = rig.pull(41).await["head"]["sha"].as_str().unwrap().to_owned();
    for name in ["a", "b", "c"] {
        rig.double.set_check(REPO, &head, name, "queued", None).await.unwrap();
    }
    let path = format!("/commits/{head}/check-runs?per_page=2");
    let response = rig.request(Method::GET, &path).send().await.unwrap();
    assert!(header(&response, "link").contains("page=2>; rel=\"next\""));
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (
            body["total_count"].as_u64(),
            body["check_runs"].as_array().unwrap().len()
        ),
        (Some(3), 2)
    );
}
