//! One id for everything: commands that work on a delivery or on a held job take the id of either, or of the receipt.

use super::gateway::Gateway;
use super::{Exit, Failure};
use serde_json::Value;
use uuid::Uuid;

/// An id as a person has it.
enum Id {
    Job(i64),
    /// Receipts are UUIDv8, deliveries UUIDv7.
    Receipt(Uuid),
    Delivery(Uuid),
}

fn read(id: &str) -> Result<Id, Failure> {
    if let Ok(job) = id.parse() {
        return Ok(Id::Job(job));
    }
    let uuid: Uuid = id.parse().map_err(|_| {
        let why = format!("{id:?} is neither the id of a delivery or receipt nor the number of a job");
        Failure::new(Exit::Usage, why)
    })?;
    Ok(if uuid.get_version_num() == 8 { Id::Receipt(uuid) } else { Id::Delivery(uuid) })
}

/// The delivery that belongs to any id.
pub async fn delivery_of(api: &Gateway, id: &str) -> Result<String, Failure> {
    let (path, place) = match read(id)? {
        Id::Delivery(id) => return Ok(id.to_string()),
        Id::Job(job) => (format!("/jobs/{job}"), "/delivery_id"),
        Id::Receipt(id) => (format!("/deliveries?receipt={id}"), "/items/0/id"),
    };
    let found = api.get(&path).await?;
    let nothing = || Failure::new(Exit::NotFound, format!("no delivery is known for {id}"));
    found.pointer(place).and_then(Value::as_str).map(str::to_owned).ok_or_else(nothing)
}

/// The number of the held job that belongs to any id; a number is taken as it is.
pub async fn held_job_of(api: &Gateway, id: &str) -> Result<i64, Failure> {
    let filter = match read(id)? {
        Id::Job(job) => return Ok(job),
        Id::Delivery(id) => format!("delivery={id}"),
        Id::Receipt(id) => format!("receipt={id}"),
    };
    let found = api.get(&format!("/jobs?state=held&{filter}")).await?;
    let nothing = || Failure::new(Exit::NotFound, format!("no job of {id} is held"));
    found["items"][0]["id"].as_i64().ok_or_else(nothing)
}
