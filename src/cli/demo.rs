use super::{Exit, Failure, Global};
#[derive(Debug, clap::Args)]
pub struct Demo {}
impl Demo {
    pub async fn run(self, _g: &Global) -> Result<Exit, Failure> {
        Ok(Exit::Done)
    }
}
