//! Asking people for their review on GitHub.

use std::fmt;
use std::slice::from_ref;

use super::world::World;
use crate::github::ErrorKind;
use crate::saga::StepError;

/// Somebody whom GitHub doesn't take for a reviewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Login.
    pub login: String,
    /// GitHub's reason.
    pub reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.login, self.reason)
    }
}

/// Asks these for a review of a pull request; answers with those who couldn't be asked. GitHub takes all or none, so where it refuses all of
/// them, each is asked alone.
///
/// # Errors
/// GitHub's failure; a misfit is none.
pub async fn ask(world: &World, number: u64, logins: &[String]) -> Result<Vec<Misfit>, StepError> {
    let Err(error) = world.github.request_reviewers(number, logins).await else {
        return Ok(Vec::new());
    };
    // GitHub doesn't find a pull request for some seconds after it was opened: that is nobody's misfit.
    if error.message.contains("Could not resolve to a node") {
        return Err(StepError::transient(error.to_string()));
    }
    match logins {
        _ if error.kind != ErrorKind::Invalid => Err(error.into()),
        [login] => Ok(vec![Misfit {
            login: login.clone(),
            reason: error.message,
        }]),
        _ => {
            let mut misfits = Vec::new();
            for login in logins {
                misfits.extend(Box::pin(ask(world, number, from_ref(login))).await?);
            }
            Ok(misfits)
        }
    }
}
