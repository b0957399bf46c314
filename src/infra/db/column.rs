//! Column types of [`Timestamp`] (`timestamptz`, or INTEGER in SQLite) and [`Digest`] (bytes).

use crate::ids::{Digest, Timestamp};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// Postgres counts microseconds from 2000-01-01.
const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(sqlx::postgres::types::Oid(1184)) // timestamptz
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(sqlx::postgres::types::Oid(1185)) // timestamptz[]
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.0 - PG_EPOCH_MICROS, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?) + PG_EPOCH_MICROS))
            }
            PgValueFormat::Text => Err("a timestamp in text form: only prepared statements are used".into()),
        }
    }
}

impl Type<Sqlite> for Timestamp {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.0, buffer)
    }
}

impl Decode<'_, Sqlite> for Timestamp {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(Self)
    }
}

impl PgHasArrayType for Digest {
    fn array_type_info() -> PgTypeInfo {
        <Vec<u8> as PgHasArrayType>::array_type_info()
    }
}

macro_rules! digest_column {
    ($store:ty, $info:ty, $buffer:ty, $value:ident) => {
        impl Type<$store> for Digest {
            fn type_info() -> $info {
                <Vec<u8> as Type<$store>>::type_info()
            }
            fn compatible(ty: &$info) -> bool {
                <Vec<u8> as Type<$store>>::compatible(ty)
            }
        }

        impl Encode<'_, $store> for Digest {
            fn encode_by_ref(&self, buffer: &mut $buffer) -> Result<IsNull, BoxDynError> {
                Encode::<$store>::encode(self.0.to_vec(), buffer)
            }
        }

        impl Decode<'_, $store> for Digest {
            fn decode(value: $value<'_>) -> Result<Self, BoxDynError> {
                Digest::from_slice(<&[u8] as Decode<$store>>::decode(value)?)
                    .ok_or_else(|| "a digest is not 32 bytes long".into())
            }
        }
    };
}

digest_column!(Postgres, PgTypeInfo, PgArgumentBuffer, PgValueRef);
digest_column!(Sqlite, SqliteTypeInfo, SqliteArgumentsBuffer, SqliteValueRef);
