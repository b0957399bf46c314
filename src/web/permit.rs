//! Permissions in signatures: a handler takes the permission it needs, so the check cannot be forgotten.
//!
//! ```text
//!   no valid key → 401     a valid key without the permission → 403
//!   May<Operate>           scope() goes to every read of a store; what it hides is 404
//!   MayAll<Operate>        for what belongs to the installation (queues, keys): 404 for a customer's key
//! ```

use super::{Caller, Kind, Kit, Problem};
use crate::ids::{Grant, Scope};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use std::marker::PhantomData;
use std::ops::Deref;

/// A permission as a type.
pub trait Permission: Send + Sync + 'static {
    /// The permission.
    const GRANT: Grant;
}

macro_rules! permissions {
    ($($name:ident)*) => {$(
        #[doc = concat!("`Grant::", stringify!($name), "` as a type.")]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl Permission for $name {
            const GRANT: Grant = Grant::$name;
        }
    )*};
}

permissions! { Ingest Read Content Operate Admin }

/// A caller with permission `P`, within their scope.
#[derive(Debug, Clone)]
pub struct May<P> {
    caller: Caller,
    permission: PhantomData<P>,
}

/// A caller with permission `P` for the whole installation.
#[derive(Debug, Clone)]
pub struct MayAll<P>(May<P>);

impl<P> May<P> {
    /// What the caller may see.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.caller.scope
    }

    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl<P> Deref for MayAll<P> {
    type Target = May<P>;
    fn deref(&self) -> &May<P> {
        &self.0
    }
}

impl<P: Permission, S: Send + Sync> FromRequestParts<S> for May<P>
where
    Kit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        permitted(<Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?)
    }
}

impl<P: Permission, S: Send + Sync> FromRequestParts<S> for MayAll<P>
where
    Kit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        match caller.scope {
            Scope::All => permitted(caller).map(Self),
            Scope::Customer(_) => Err(Problem::not_found()),
        }
    }
}

fn permitted<P: Permission>(caller: Caller) -> Result<May<P>, Problem> {
    if caller.has(P::GRANT) {
        return Ok(May { caller, permission: PhantomData });
    }
    Err(Problem::new(Kind::Forbidden, format!("key {} lacks {}", caller.name, P::GRANT.word())))
}
