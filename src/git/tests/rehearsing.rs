//! Trains of pull requests, rehearsed.

use super::*;

fn car(rig: &Rig, number: u64, parents: &[&str], files: &[(&str, &str)]) -> Car {
    let head = rig.writes(&format!("refs/pull/{number}/head"), parents, files);
    Car { number, head }
}

fn clean(verdict: &CarVerdict) -> bool {
    matches!(verdict, CarVerdict::Clean { .. })
}

#[tokio::test]
async fn a_clean_train_has_all_changes_and_the_same_tip_each_time() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let cars = [
        car(&rig, 1, &[&main], &[("one", "1")]),
        car(&rig, 2, &[&main], &[("two", "2")]),
    ];
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    assert!(rehearsal.cars.iter().all(clean), "{rehearsal:?}");
    let files = rig.local(&["ls-tree", "--name-only", &rehearsal.tree]);
    assert!(files.contains("one") && files.contains("two"), "{files}");
    assert_eq!(rig.local(&["rev-parse", &format!("{}^2", rehearsal.tip)]), cars[1].head);
    let again = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    assert_eq!(again, rehearsal);
}

#[tokio::test]
async fn methods_agree_on_the_tree_and_differ_in_the_history() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let first = rig.writes("topic", &[&main], &[("one", "1")]);
    let cars = [
        car(&rig, 1, &[&first], &[("one", "2")]),
        car(&rig, 2, &[&main], &[("two", "2")]),
    ];
    let mut commits = Vec::new();
    let mut trees = Vec::new();
    for method in [Method::Merge, Method::Squash, Method::Rebase] {
        let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, method).await.unwrap();
        let range = format!("{main}..{}", rehearsal.tip);
        commits.push(rig.local(&["rev-list", "--count", &range]));
        trees.push(rehearsal.tree);
        assert_eq!(rehearsal.note, None);
    }
    assert_eq!(commits, ["5", "2", "3"]);
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
}

#[tokio::test]
async fn a_rebase_drops_what_the_train_has_already() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let below = car(&rig, 1, &[&main], &[("one", "1")]);
    let above = car(&rig, 2, &[&below.head], &[("two", "2")]);
    let cars = [below, above];
    let rehearsal = rig
        .git
        .rehearse(&rig.dir(), &main, &cars, Method::Rebase)
        .await
        .unwrap();
    let range = format!("{main}..{}", rehearsal.tip);
    assert_eq!(rig.local(&["rev-list", "--count", &range]), "2");
}

#[tokio::test]
async fn a_conflict_names_its_files_and_the_earlier_car() {
    for method in [Method::Merge, Method::Squash, Method::Rebase] {
        let rig = Rig::cloned().await;
        let main = rig.tip("main");
        let cars = [
            car(&rig, 1, &[&main], &[("one", "1")]),
            car(&rig, 2, &[&main], &[("VERSION", "2\n"), ("src/big.txt", "two\n")]),
            car(&rig, 3, &[&main], &[("VERSION", "3\n"), ("src/big.txt", "three\n")]),
            car(&rig, 4, &[&main], &[("four", "4")]),
        ];
        let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, method).await.unwrap();
        let conflict = CarVerdict::Conflict {
            number: 3,
            files: vec!["VERSION".into(), "src/big.txt".into()],
            with: Some(2),
        };
        assert_eq!(rehearsal.cars[2], conflict, "{method:?}");
        assert!(clean(&rehearsal.cars[3]));
        assert!(rig.local(&["ls-tree", "--name-only", &rehearsal.tree]).contains("four"));
    }
}

#[tokio::test]
async fn a_conflict_with_the_base_names_no_car() {
    let rig = Rig::cloned().await;
    let old = rig.tip("main");
    let main = rig.writes("main", &[&old], &[("VERSION", "9\n")]);
    rig.git.fetch_branch(&rig.dir(), "main").await.unwrap();
    let cars = [car(&rig, 1, &[&old], &[("VERSION", "2\n")])];
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    let conflict = CarVerdict::Conflict {
        number: 1,
        files: vec!["VERSION".into()],
        with: None,
    };
    assert_eq!(rehearsal.cars, [conflict]);
    assert_eq!(rehearsal.tip, main);
}

#[tokio::test]
async fn no_common_history_is_a_conflict_without_files() {
    let rig = Rig::cloned().await;
    let cars = [car(&rig, 1, &[], &[("VERSION", "2\n")])];
    for method in [Method::Merge, Method::Rebase] {
        let rehearsal = rig
            .git
            .rehearse(&rig.dir(), &rig.tip("main"), &cars, method)
            .await
            .unwrap();
        let conflict = CarVerdict::Conflict {
            number: 1,
            files: vec![],
            with: None,
        };
        assert_eq!(rehearsal.cars, [conflict], "{method:?}");
    }
}

#[tokio::test]
async fn moved_and_missing_heads_are_gone_and_merged_ones_are_in() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let mut cars = vec![
        car(&rig, 1, &[&main], &[("one", "1")]),
        Car {
            number: 2,
            head: main.clone(),
        },
        car(&rig, 3, &[&main], &[("three", "3")]),
        Car {
            number: 4,
            head: main.clone(),
        },
    ];
    rig.remote(&["update-ref", "refs/pull/4/head", &main]);
    cars[0].head = main.clone();
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    assert!(matches!(rehearsal.cars[0], CarVerdict::Gone { number: 1, .. }));
    assert!(matches!(rehearsal.cars[1], CarVerdict::Gone { number: 2, .. }));
    assert!(clean(&rehearsal.cars[2]));
    assert_eq!(rehearsal.cars[3], CarVerdict::AlreadyIn { number: 4 });
}

#[tokio::test]
async fn an_empty_train_stays_where_it_is() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &[], Method::Merge).await.unwrap();
    assert_eq!((rehearsal.tip.as_str(), rehearsal.cars.len()), (main.as_str(), 0));
}

#[tokio::test]
async fn a_base_that_is_not_there_is_an_error_and_no_conflict() {
    let rig = Rig::cloned().await;
    let cars = [car(&rig, 1, &[&rig.tip("main")], &[("one", "1")])];
    let nowhere = "0123456789012345678901234567890123456789";
    assert!(
        rig.git
            .rehearse(&rig.dir(), nowhere, &cars, Method::Merge)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_exclusion_that_takes_more_is_proposed() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let cars = [
        car(&rig, 1, &[&main], &[("VERSION", "1\n"), ("src/big.txt", "one\n")]),
        car(&rig, 2, &[&main], &[("VERSION", "2\n")]),
        car(&rig, 3, &[&main], &[("src/big.txt", "three\n")]),
    ];
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    assert_eq!(rehearsal.proposal, Some(Proposal::Without { number: 1 }));
    let rest = &cars[1..];
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, rest, Method::Merge).await.unwrap();
    assert!(rehearsal.cars.iter().all(clean), "the proposal is true: {rehearsal:?}");
    assert_eq!(rehearsal.proposal, None);
}

#[tokio::test]
async fn an_order_that_takes_more_is_proposed() {
    let rig = Rig::cloned().await;
    let main = rig.tip("main");
    let first = car(&rig, 1, &[&main], &[("VERSION", "1\n")]);
    let second = car(&rig, 2, &[&main], &[("VERSION", "2\n")]);
    // Merges both and resolves their conflict.
    let both = car(&rig, 3, &[&first.head, &second.head], &[("VERSION", "3\n")]);
    let cars = [first, second, both];
    let rehearsal = rig.git.rehearse(&rig.dir(), &main, &cars, Method::Merge).await.unwrap();
    assert!(matches!(rehearsal.cars[1], CarVerdict::Conflict { with: Some(1), .. }));
    assert_eq!(rehearsal.proposal, Some(Proposal::Order { cars: vec![1, 3, 2] }));
}
