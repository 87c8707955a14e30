//! What another system calls the requests that changed it. Its operators find a request by its id, so each id belongs in the journal, next to
//! the step that asked. The clients note them, the saga engine takes them, and neither knows the other.
//!
//! 1. What is noted belongs to the work around it that [`collecting`] began, in this task: steps that run side by side don't mix.
//! 2. A request is noted once its answer is there. A process that is killed between answer and journal takes the note along; the step is in
//!    doubt then and looked for.
//! 3. Reads leave no note, nor does what has no id: a git push, a message in Slack.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

/// A request that was answered, whatever the answer was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What was asked, and how it was answered.
    pub what: String,
    /// What the other system calls it.
    pub id: String,
}

tokio::task_local! {
    static NOTED: RefCell<Vec<Request>>;
}

/// Work whose requests are kept until it takes them.
pub async fn collecting<F: Future>(work: F) -> F::Output {
    NOTED.scope(RefCell::default(), work).await
}

/// Notes a request, if anybody collects.
pub fn note(what: String, id: &str) {
    let request = Request {
        what,
        id: id.to_owned(),
    };
    let _ = NOTED.try_with(|noted| noted.borrow_mut().push(request));
}

/// What was noted since the last call.
pub fn taken() -> Vec<Request> {
    NOTED.try_with(RefCell::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(requests: &[Request]) -> Vec<&str> {
        requests.iter().map(|request| request.id.as_str()).collect()
    }

    #[tokio::test]
    async fn work_side_by_side_keeps_its_own() {
        let work = |name: &'static str| {
            collecting(async move {
                for id in ["1", "2"] {
                    note(name.to_owned(), &format!("{name}{id}"));
                    tokio::task::yield_now().await;
                }
                (taken(), taken())
            })
        };
        let (one, other) = tokio::join!(work("a"), work("b"));
        assert_eq!((ids(&one.0), ids(&other.0)), (vec!["a1", "a2"], vec!["b1", "b2"]));
        assert_eq!(one.1, [], "taken once");
    }

    #[test]
    fn without_a_collector_nothing_is_kept() {
        note("PUT /".to_owned(), "1");
        assert_eq!(taken(), []);
    }
}
