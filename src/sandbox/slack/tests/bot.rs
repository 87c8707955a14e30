//! The bot's own client, unchanged, against the double.

use super::*;

/// A bot that writes down what reaches it.
#[derive(Default)]
struct Bot {
    heard: Mutex<Vec<Inbound>>,
}

#[async_trait]
impl Handler for Bot {
    async fn handle(&self, inbound: Inbound) -> Result<Ack, String> {
        locked(&self.heard).push(inbound.clone());
        Ok(match inbound {
            Inbound::Command(command) => Ack::Ephemeral(Content {
                text: format!("took {}", command.text),
                blocks: vec![],
            }),
            Inbound::Submission(_) => Ack::Errors(BTreeMap::from([("why".to_owned(), "Say more.".to_owned())])),
            _ => Ack::Empty,
        })
    }
}

impl Bot {
    fn last(&self) -> Inbound {
        locked(&self.heard).last().cloned().unwrap()
    }
}

/// What every transport must carry: command, click, modal, Home.
async fn plays(slack: &SlackDouble, api: &SlackClientApi, bot: &Bot) {
    let reply = slack.says("U0ANA", DEPLOYS, "/deploy status").await.unwrap();
    assert_eq!(reply.text.as_deref(), Some("took status"));
    let Inbound::Command(command) = bot.last() else {
        panic!("no command")
    };
    api.open_view(&command.trigger_id, modal()).await.unwrap();
    let errors = slack.submits_view("U0ANA", filled("x & <y>=z")).await.unwrap().unwrap();
    assert_eq!(errors["why"], "Say more.");
    let Inbound::Submission(submission) = bot.last() else {
        panic!("no submission")
    };
    assert_eq!(submission.values["reason"], ["x & <y>=z"]);
    assert_eq!(submission.values["include"], ["7"]);
    slack.closes_view("U0ANA").await;

    let button = crate::slack::kit::button("Ship", "ship", "d1", crate::slack::kit::Style::Primary);
    let content = Content {
        text: "Ship it?".into(),
        blocks: vec![crate::slack::kit::actions(vec![button])],
    };
    let metadata = Metadata {
        deployment: "d1".into(),
        step_key: "card".into(),
    };
    let post = Post {
        channel: DEPLOYS.into(),
        thread: None,
        content: content.clone(),
        metadata: Some(metadata.clone()),
    };
    let root = api.post(post.clone()).await.unwrap();
    let reply = api
        .post(Post {
            thread: Some(root.clone()),
            ..post
        })
        .await
        .unwrap();
    assert_eq!(api.find(DEPLOYS, None, &metadata).await.unwrap(), Some(root.clone()));
    assert_eq!(
        api.find(DEPLOYS, Some(root.clone()), &metadata).await.unwrap(),
        Some(reply.clone())
    );
    slack.clicks_label("U0CHLOE", "Ship").await.unwrap();
    let Inbound::Action(action) = bot.last() else {
        panic!("no action")
    };
    assert_eq!((action.message, action.thread), (Some(reply), Some(root.clone())));
    assert_eq!((action.user.as_str(), action.value.as_deref()), ("U0CHLOE", Some("d1")));
    api.respond(
        &action.response_url,
        Respond::Ephemeral,
        Content {
            text: "Shipped.".into(),
            blocks: vec![],
        },
    )
    .await
    .unwrap();
    api.update(
        DEPLOYS,
        &root,
        Content {
            text: "Shipped.".into(),
            blocks: vec![],
        },
        None,
    )
    .await
    .unwrap();
    assert!(
        api.permalink(DEPLOYS, &root)
            .await
            .unwrap()
            .ends_with(&root.replace('.', ""))
    );

    slack.opens_home("U0DAN").await.unwrap();
    assert!(matches!(bot.last(), Inbound::HomeOpened { user, .. } if user == "U0DAN"));
    api.publish_home("U0DAN", json!({ "type": "home", "blocks": [] }))
        .await
        .unwrap();
    assert_eq!(api.identity().await.unwrap().user_id, BOT);
    assert_eq!(api.user("U0CHLOE").await.unwrap().name, "Chloé Martin");
    assert_eq!(
        api.group_members(DEPLOYERS).await.unwrap(),
        ["U0ANA", "U0BEN", "U0CHLOE"]
    );
    assert!(api.is_member(DEPLOYS).await.unwrap());
    keeps_to_the_rules(slack);
}

fn client(slack: &SlackDouble) -> SlackClientApi {
    SlackClientApi::new(&slack.api_url(), SecretString::from(slack.bot_token())).unwrap()
}

#[tokio::test]
async fn the_bots_own_client_over_socket_mode() {
    let slack = slack(Options::default()).await;
    let bot = Arc::new(Bot::default());
    let socket = SocketMode::start(&slack.api_url(), SecretString::from(slack.app_token()), bot.clone())
        .await
        .unwrap();
    soon("a line", socket.connected().wait_for(|connected| *connected))
        .await
        .unwrap();
    plays(&slack, &client(&slack), &bot).await;
    soon("the end", socket.shutdown()).await;
}

#[tokio::test]
async fn the_bots_own_client_over_signed_http() {
    let slack = slack(Options::default()).await;
    let bot = Arc::new(Bot::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let routes = crate::slack::http::router(SecretString::from("signing-secret"), bot.clone());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    slack.deliver_over_http(&base, "signing-secret");
    plays(&slack, &client(&slack), &bot).await;

    slack.deliver_over_http(&base, "another-secret");
    let refused = slack.says("U0ANA", DEPLOYS, "/deploy").await.unwrap_err();
    assert_eq!(refused, "/deploy failed with the error \"http_service_error\"");
    server.abort();
}

#[tokio::test]
async fn the_bots_own_client_understands_faults() {
    let slack = slack(Options::default()).await;
    let api = client(&slack);
    let kinds = [
        (Kind::Reset, ErrorKind::Transient),
        (Kind::Html, ErrorKind::Transient),
        (Kind::HalfJson, ErrorKind::Transient),
        (
            Kind::RateLimited(Some(7)),
            ErrorKind::RateLimited(Duration::from_secs(7)),
        ),
        (
            Kind::NotOk("is_archived".to_owned()),
            ErrorKind::Api("is_archived".to_owned()),
        ),
    ];
    for (kind, expected) in kinds {
        slack.faults().inject(Fault {
            matches: "chat.postMessage".to_owned(),
            when: When::After,
            kind,
            times: 1,
        });
        let content = Content {
            text: "x".into(),
            blocks: vec![],
        };
        let failed = api
            .post(Post {
                channel: DEPLOYS.into(),
                thread: None,
                content,
                metadata: None,
            })
            .await
            .unwrap_err();
        assert_eq!(failed.kind, expected);
    }
    assert_eq!(slack.messages(DEPLOYS).len(), 5);
}
