//! `/openapi.json`, and the pages that the `type` of problems links to.

use super::problem::{self, Body};
use super::{Kind, Path, Problem};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, SecurityRequirement};

/// Serves `api` as OpenAPI 3.1, completed with what all routes share: title, version, security schemes, errors. Needs no
/// key.
///
/// # Errors
/// When the document cannot be serialised.
pub fn routes(api: OpenApi) -> Result<Router, serde_json::Error> {
    let text: axum::body::Bytes = serde_json::to_vec(&complete(api))?.into();
    let document = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    Ok(Router::new().route("/openapi.json", get(document)).route("/errors/{slug}", get(explain)))
}

fn complete(mut api: OpenApi) -> OpenApi {
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key")));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let common = ComponentsBuilder::new()
        .security_scheme("key", key)
        .security_scheme("bearer", bearer)
        .schema_from::<Body>()
        .schema_from::<problem::Fault>()
        .build();
    let schemes = ["key", "bearer"].map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []));
    api.info = InfoBuilder::new()
        .title("headworks")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Deliveries, receipts, jobs and rows of headworks."))
        .build();
    api.security = Some(schemes.into());
    let components = api.components.get_or_insert_default();
    components.schemas.extend(common.schemas);
    components.security_schemes.extend(common.security_schemes);
    api
}

/// One paragraph about a kind of problem.
async fn explain(Path(slug): Path<String>) -> Result<String, Problem> {
    let kind = Kind::ALL.iter().find(|kind| kind.facts().1 == slug).ok_or_else(Problem::not_found)?;
    let (status, _, title) = kind.facts();
    Ok(format!("{title}.\n\nHTTP status {status}. {}\n", kind.advice()))
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn the_document_is_3_1_and_says_how_keys_are_sent() {
        let document = serde_json::to_value(complete(Default::default())).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(schemes["key"]["name"], "X-Api-Key");
        assert_eq!(schemes["bearer"]["scheme"], "bearer");
        assert_eq!(document["security"].as_array().unwrap().len(), 2);
        assert!(document["components"]["schemas"]["Problem"]["properties"]["instance"].is_object());
    }
}
