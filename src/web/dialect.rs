//! Error bodies of doors that speak somebody else's protocol.
//!
//! Whatever goes wrong is a [`Problem`](super::Problem) until the last moment: a route that does not exist, a method that is not
//! allowed, a body that is too large or too slow, a panic. Below the paths of a door with a dialect it then gets the shape that
//! the clients of that door know.

use super::problem::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// How a door answers what none of its handlers answered.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Whether a path is the door's.
    pub owns: fn(&str) -> bool,
    /// The door's answer in place of ours. Headers it does not set are ours: `Allow`, `Retry-After`, `WWW-Authenticate`.
    pub answer: fn(&Body) -> Response,
}

/// The answer to a request for `path` that ended as `problem`; `ours` is that in our own shape.
pub fn translate(dialects: &[Dialect], path: &str, problem: Body, mut ours: Response) -> Response {
    let Some(dialect) = dialects.iter().find(|dialect| (dialect.owns)(path)) else {
        *ours.body_mut() = problem.into_response().into_body();
        return ours;
    };
    let mut theirs = (dialect.answer)(&problem);
    for (name, value) in ours.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name)
            && !theirs.headers().contains_key(name)
        {
            theirs.headers_mut().append(name, value.clone());
        }
    }
    theirs
}
