//! Keys on every store.

use super::client::{key, new_key, register, slug};
use crate::stores::each_store;
use headworks::ids::{Grant, Scope, Timestamp};
use headworks::web::Keys;
use headworks::web::key::{KeyError, NewKey, Scheme};
use std::time::Duration;

#[tokio::test]
async fn a_made_key_is_recognised_and_nothing_like_it() {
    each_store(|db| async move {
        register(&db, "alpha").await;
        let keys = Keys::new(db);
        let value = key(&keys, "reader", &[Grant::Read, Grant::Ingest], Scope::Customer(slug("alpha"))).await;
        let found = keys.verify(&value).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.scheme), ("reader", Scheme::Sha256));
        assert_eq!(found.grants, [Grant::Read, Grant::Ingest]);
        assert_eq!(found.scope, Scope::Customer(slug("alpha")));
        for other in ["", "hw_", &value[..value.len() - 1], &format!("{value}A"), "reader", "a b\n"] {
            assert!(keys.verify(other).await.unwrap().is_none(), "{other:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_imported_value_keeps_working_and_its_stored_forms_do_not() {
    each_store(|db| async move {
        let keys = Keys::new(db);
        keys.import(new_key("old", &[Grant::Read; 3], Scope::All), "s3cret-of-hview").await.unwrap();
        assert_eq!(keys.list(None, 10).await.unwrap()[0].grants, [Grant::Read], "each permission once");
        assert_eq!(keys.verify("s3cret-of-hview").await.unwrap().unwrap().scheme, Scheme::Argon2);
        assert!(keys.verify("s3cret-of-hviev").await.unwrap().is_none());
        let taken = keys.import(new_key("new", &[Grant::Read], Scope::All), "s3cret-of-hview").await;
        assert!(matches!(taken, Err(KeyError::ValueTaken(_))), "{taken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_second_verification_does_not_ask_the_store() {
    each_store(|db| async move {
        let keys = Keys::new(db.clone());
        keys.import(new_key("old", &[Grant::Read], Scope::All), "s3cret-of-hview").await.unwrap();
        assert!(keys.verify("s3cret-of-hview").await.unwrap().is_some());
        db.close().await;
        assert!(keys.verify("s3cret-of-hview").await.unwrap().is_some());
        assert!(keys.verify("never-seen").await.is_err(), "the store is closed");
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_ends_at_once_and_its_name_stays_taken() {
    each_store(|db| async move {
        let keys = Keys::new(db);
        let value = key(&keys, "ops", &[Grant::Admin], Scope::All).await;
        assert!(keys.verify(&value).await.unwrap().is_some());
        assert!(keys.revoke("ops").await.unwrap());
        assert!(keys.verify(&value).await.unwrap().is_none());
        assert!(!keys.revoke("ops").await.unwrap(), "it has ended already");
        assert!(!keys.revoke("nobody").await.unwrap());
        let again = keys.create(new_key("ops", &[Grant::Admin], Scope::All)).await;
        assert!(matches!(again, Err(KeyError::NameTaken(_))), "{again:?}");
        assert!(keys.list(None, 10).await.unwrap()[0].revoked_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_key_expires_even_while_it_is_remembered() {
    each_store(|db| async move {
        let keys = Keys::new(db);
        // However slow the machine is: a round in which the key expired before it was asked for shows nothing.
        for life in [1, 4, 16, 64].map(Duration::from_secs) {
            let expires_at = Timestamp::now().after(life);
            let name = format!("guest-{}", life.as_secs());
            let new = NewKey { expires_at: Some(expires_at), ..new_key(&name, &[Grant::Read], Scope::All) };
            let value = keys.create(new).await.unwrap();
            let remembered = keys.verify(value.reveal()).await.unwrap().is_some();
            if !remembered {
                assert!(Timestamp::now() >= expires_at, "it is still good");
                continue;
            }
            while Timestamp::now() < expires_at {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(keys.verify(value.reveal()).await.unwrap().is_none());
            return;
        }
        panic!("no key was remembered before it expired");
    })
    .await;
}

#[tokio::test]
async fn last_use_is_written_down_when_asked_for_and_never_goes_back() {
    each_store(|db| async move {
        let keys = Keys::new(db);
        let value = key(&keys, "reader", &[Grant::Read], Scope::All).await;
        key(&keys, "unused", &[Grant::Read], Scope::All).await;
        keys.verify(&value).await.unwrap();
        assert_eq!(keys.list(None, 10).await.unwrap()[0].last_used_at, None);
        keys.write_last_used().await.unwrap();
        let listed = keys.list(None, 10).await.unwrap();
        let first = listed[0].last_used_at.unwrap();
        assert_eq!(listed[1].last_used_at, None);
        keys.write_last_used().await.unwrap();
        assert_eq!(keys.list(None, 10).await.unwrap()[0].last_used_at, Some(first));
    })
    .await;
}

#[tokio::test]
async fn a_key_that_could_not_work_is_not_made() {
    each_store(|db| async move {
        let keys = Keys::new(db);
        for name in ["", "a b", "control:uid=0", "é", &"x".repeat(65)] {
            let made = keys.create(new_key(name, &[Grant::Read], Scope::All)).await;
            assert!(matches!(made, Err(KeyError::BadName(_))), "{name:?}");
        }
        let nobody = Scope::Customer(slug("nobody"));
        let made = keys.create(new_key("k", &[Grant::Read], nobody)).await;
        assert!(matches!(made, Err(KeyError::UnknownCustomer(_))), "{made:?}");
        let made = keys.create(new_key("k", &[], Scope::All)).await;
        assert!(matches!(made, Err(KeyError::NoGrants(_))), "{made:?}");
        let made = keys.import(new_key("k", &[Grant::Read], Scope::All), "two words").await;
        assert!(matches!(made, Err(KeyError::BadValue(_))), "{made:?}");
        assert!(keys.list(None, 10).await.unwrap().is_empty());
    })
    .await;
}
