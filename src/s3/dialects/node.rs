//! One JSON object of a message, with its place.
//!
//! Whatever is looked up twice over is poison: of two equal members each reader takes another one, and that must not
//! decide what is checked.

use super::super::json::{Json, Member};
use super::poison::{Poison, Reason};
use crate::ids::Timestamp;

/// An object, opened.
pub(super) struct Node<'a> {
    members: Vec<Member<'a>>,
    place: String,
}

impl<'a> Node<'a> {
    /// Opens `json`, which stands at `place`: a JSON pointer, empty for the whole.
    pub fn of(json: Json<'a>, place: impl Into<String>) -> Result<Self, Poison> {
        let place = place.into();
        match json.members() {
            Some(members) => Ok(Self { members, place }),
            None => Err(Poison::new(Reason::WrongType, if place.is_empty() { "body" } else { &place })),
        }
    }

    /// The place of a member.
    pub fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    fn fault(&self, reason: Reason, name: &str) -> Poison {
        Poison::new(reason, self.place_of(name))
    }

    /// Whether a member is there, whatever it is; `null` is not.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, value)| member.as_ref() == name.as_bytes() && !value.is_null())
    }

    /// A member; `None` if it is missing or `null`.
    pub fn get(&self, name: &str) -> Result<Option<Json<'a>>, Poison> {
        self.find(name, |member| member == name.as_bytes())
    }

    /// A member called `name` but for the case of its first letter.
    pub fn get_any_case(&self, name: &str) -> Result<Option<Json<'a>>, Poison> {
        self.find(name, |member| match (member.split_first(), name.as_bytes().split_first()) {
            (Some((a, rest)), Some((b, wanted))) => a.eq_ignore_ascii_case(b) && rest == wanted,
            _ => false,
        })
    }

    fn find(&self, name: &str, is_it: impl Fn(&[u8]) -> bool) -> Result<Option<Json<'a>>, Poison> {
        let mut found = self.members.iter().filter(|(member, _)| is_it(member));
        let first = found.next();
        if found.next().is_some() {
            return Err(self.fault(Reason::Repeated, name));
        }
        Ok(first.map(|(_, value)| *value).filter(|value| !value.is_null()))
    }

    /// An object that must be there.
    pub fn node(&self, name: &str) -> Result<Self, Poison> {
        let json = self.get(name)?.ok_or_else(|| self.fault(Reason::Missing, name))?;
        Self::of(json, self.place_of(name))
    }

    /// An object that may be missing; another type counts as missing.
    pub fn node_if_any(&self, name: &str) -> Result<Self, Poison> {
        let members = self.get(name)?.and_then(Json::members).unwrap_or_default();
        Ok(Self { members, place: self.place_of(name) })
    }

    /// A string that must be there and hold something, as bytes.
    pub fn need_bytes(&self, name: &str) -> Result<Vec<u8>, Poison> {
        let json = self.get(name)?.ok_or_else(|| self.fault(Reason::Missing, name))?;
        let bytes = json.string().ok_or_else(|| self.fault(Reason::WrongType, name))?;
        if bytes.is_empty() { Err(self.fault(Reason::Missing, name)) } else { Ok(bytes.into_owned()) }
    }

    /// A text that must be there and hold something.
    pub fn need_text(&self, name: &str) -> Result<String, Poison> {
        String::from_utf8(self.need_bytes(name)?).map_err(|_| self.fault(Reason::NotUtf8, name))
    }

    /// The name of a bucket, which must be there. It is not decoded: no name of a bucket needs it.
    pub fn bucket(&self, name: &str) -> Result<String, Poison> {
        let bucket = self.need_text(name)?;
        check_bucket(&bucket).map_err(|reason| self.fault(reason, name))?;
        Ok(bucket)
    }

    /// A text for people, or a number as its digits; `None` if missing, empty or of another type. Bytes that are no
    /// UTF-8 are replaced.
    pub fn text(&self, name: &str) -> Result<Option<String>, Poison> {
        let Some(json) = self.get(name)? else { return Ok(None) };
        let text = json.string().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.or_else(|| json.number().map(str::to_owned));
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A count, as a number or as a text; `None` if it is anything else, a negative one too.
    pub fn count(&self, name: &str) -> Result<Option<u64>, Poison> {
        Ok(self.text(name)?.and_then(|text| text.trim().parse().ok()))
    }

    /// An instant of RFC 3339, with any offset; `None` if it is none.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Poison> {
        Ok(self.text(name)?.and_then(|text| text.trim().parse().ok()))
    }

    /// `true` or `false`; `None` if it is anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Poison> {
        Ok(self.get(name)?.and_then(Json::flag))
    }
}

/// Longest name of a bucket, in bytes.
const BUCKET_BYTES: usize = 255;

/// Refuses what would end a path or a text early.
pub(super) fn check_bucket(bucket: &str) -> Result<(), Reason> {
    let fits = (1..=BUCKET_BYTES).contains(&bucket.len()) && !bucket.contains(['/', '\0']);
    if fits { Ok(()) } else { Err(Reason::BadBucket) }
}

/// An instant that many milliseconds after 1970.
pub(super) fn of_millis(millis: u64) -> Option<Timestamp> {
    let micros = i64::try_from(millis).ok()?.checked_mul(1_000)?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|_| Timestamp(micros))
}
