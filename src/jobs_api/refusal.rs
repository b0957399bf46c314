//! What errors from below become.

use crate::delivery::OperateError;
use crate::load::query::QueryError;
use crate::web::{Kind, Problem};

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound => Self::not_found(),
            OperateError::WrongState(why) => Self::new(Kind::Conflict, why),
            OperateError::UnknownCustomer(_) => Self::invalid("/customer", error.to_string()),
            OperateError::Store(error) => error.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let said = error.to_string();
        match error {
            QueryError::NoTable(_) => Self::new(Kind::NotFound, said),
            QueryError::Column { parameter, .. } => Self::parameter(parameter, said),
            QueryError::Filter { column, .. } => Self::parameter(format!("filter[{column}]"), said),
            QueryError::Cursor => Self::parameter("cursor", said),
            QueryError::Store(error) => error.into(),
        }
    }
}
