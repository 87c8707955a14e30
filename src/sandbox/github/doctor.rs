//! What `shipmate check` asks and a deployment doesn't: files, the workflow, labels, the rate limit.

use base64::Engine as _;
use serde_json::{Value, json};

use super::bare::Bare;

/// `GET /rate_limit`.
pub fn rate_limit() -> Value {
    json!({ "resources": { "core": { "limit": 5000, "remaining": 4900, "reset": 0 } } })
}

/// A GET below the repository; `None` is a 404.
pub async fn look(bare: &Bare, path: &[&str], reference: Option<String>) -> Option<Value> {
    match path {
        ["contents", path @ ..] => {
            let path = path.join("/");
            let text = bare.file(&reference?, &path).await?;
            let content = base64::engine::general_purpose::STANDARD.encode(text);
            Some(json!({ "type": "file", "path": path, "encoding": "base64", "content": content }))
        }
        ["actions", "workflows", "deploy.yml"] => Some(json!({ "id": 1, "name": "Deploy", "state": "active" })),
        ["labels", "do-not-deploy"] => Some(json!({ "id": 1, "name": "do-not-deploy" })),
        _ => None,
    }
}
