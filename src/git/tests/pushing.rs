//! Pushes and deletions are compare-and-swap.

use super::*;

async fn committed(rig: &Rig, version: &str) -> String {
    let files = [("VERSION".to_owned(), version.as_bytes().to_vec())];
    let parent = rig.tip("main");
    rig.git
        .commit(&rig.dir(), &parent, &files, "x", &signature())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_new_branch_is_pushed_once() {
    let rig = Rig::cloned().await;
    let (dir, commit) = (rig.dir(), committed(&rig, "2").await);
    let push = || rig.git.push(&dir, &commit, "deploy", Expect::Absent);
    assert_eq!(push().await.unwrap(), Pushed::Done);
    assert_eq!(push().await.unwrap(), Pushed::UpToDate);
    assert_eq!(rig.tip("deploy"), commit);

    let other = committed(&rig, "3").await;
    let late = rig.git.push(&dir, &other, "deploy", Expect::Absent).await.unwrap();
    assert!(
        matches!(&late, Pushed::Rejected(why) if why.contains("stale info")),
        "{late:?}"
    );
    assert_eq!(rig.tip("deploy"), commit);
}

#[tokio::test]
async fn a_branch_moves_only_from_where_it_is_expected() {
    let rig = Rig::cloned().await;
    let (dir, main) = (rig.dir(), rig.tip("main"));
    let commit = committed(&rig, "2").await;
    let wrong = rig
        .git
        .push(&dir, &commit, "main", Expect::At(commit.replace('a', "b")))
        .await
        .unwrap();
    assert!(matches!(wrong, Pushed::Rejected(_)), "{wrong:?}");
    assert_eq!(rig.tip("main"), main);
    let right = rig.git.push(&dir, &commit, "main", Expect::At(main)).await.unwrap();
    assert_eq!((right, rig.tip("main")), (Pushed::Done, commit));
}

#[tokio::test]
async fn what_the_remote_forbids_is_told_in_its_words() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::cloned().await;
    let hook = rig.root.path().join("web.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho GH013: this branch is protected >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let commit = committed(&rig, "2").await;
    let pushed = rig
        .git
        .push(&rig.dir(), &commit, "deploy", Expect::Absent)
        .await
        .unwrap();
    let Pushed::Rejected(why) = pushed else {
        panic!("{pushed:?}")
    };
    assert!(
        why.contains("pre-receive hook declined") && why.contains("GH013"),
        "{why}"
    );
}

#[tokio::test]
async fn a_remote_branch_is_deleted_only_where_it_is_expected() {
    let rig = Rig::cloned().await;
    let (dir, commit) = (rig.dir(), committed(&rig, "2").await);
    rig.git.push(&dir, &commit, "deploy", Expect::Absent).await.unwrap();
    let wrong = rig.git.delete_remote(&dir, "deploy", &rig.tip("main")).await.unwrap();
    assert!(matches!(wrong, Pushed::Rejected(_)), "{wrong:?}");
    assert_eq!(
        rig.git.delete_remote(&dir, "deploy", &commit).await.unwrap(),
        Pushed::Done
    );
    assert_eq!(
        rig.git.delete_remote(&dir, "deploy", &commit).await.unwrap(),
        Pushed::UpToDate
    );
}

#[tokio::test]
async fn remote_branches_are_found_by_their_beginning() {
    let rig = Rig::new();
    let tip = rig.tip("main");
    for branch in ["deploy-2", "deploy-1", "x/refs/heads/deploy-3", "my-deploy-4"] {
        rig.remote(&["branch", branch, &tip]);
    }
    let found = rig.git.remote_branches("deploy-").await.unwrap();
    assert_eq!(
        found,
        [("deploy-1".to_owned(), tip.clone()), ("deploy-2".to_owned(), tip)]
    );
    assert_eq!(rig.git.remote_branches("").await.unwrap().len(), 5);
}

#[tokio::test]
async fn names_that_are_options_never_reach_git() {
    let rig = Rig::cloned().await;
    let (dir, tip) = (rig.dir(), rig.tip("main"));
    let evil = "--upload-pack=touch /tmp/x";
    assert!(rig.git.fetch_branch(&dir, evil).await.is_err());
    assert!(rig.git.push(&dir, &tip, evil, Expect::Absent).await.is_err());
    assert!(rig.git.push(&dir, evil, "deploy", Expect::Absent).await.is_err());
    assert!(rig.git.checkout(&dir, evil, &tip).await.is_err());
    assert!(rig.git.delete_remote(&dir, evil, &tip).await.is_err());
    assert!(rig.git.remote_branches("--x").await.is_err());
}
