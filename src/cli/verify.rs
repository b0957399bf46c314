use super::{Exit, Failure, Global};
#[derive(Debug, clap::Args)]
pub struct Verify {}
impl Verify {
    pub async fn run(self, _g: &Global) -> Result<Exit, Failure> {
        Ok(Exit::Done)
    }
}
