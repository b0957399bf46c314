//! Where keys come from. Those that expire are renewed by the SDK.

use super::{Login, Settings};
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_sdk_s3::config::{Credentials, Region, SharedCredentialsProvider, SharedHttpClient};
use std::path::Path;

#[expect(deprecated, reason = "the successors of these names are in a crate of the SDK's own internals")]
fn only(file: &Path) -> aws_config::profile::profile_file::ProfileFiles {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    ProfileFiles::builder().with_file(ProfileFileKind::Credentials, file).build()
}

/// `http` is for those who hand out keys, whom the system's certificates prove.
pub(super) fn provider(settings: &Settings, http: &SharedHttpClient) -> SharedCredentialsProvider {
    let context = ProviderConfig::without_region()
        .with_region(Some(Region::new(settings.region.clone())))
        .with_http_client(http.clone());
    match &settings.login {
        Login::Key { id, secret, session_token } => SharedCredentialsProvider::new(Credentials::new(
            id,
            secret,
            session_token.clone(),
            None,
            "configuration",
        )),
        Login::Profile { name, file } => {
            let mut builder =
                ProfileFileCredentialsProvider::builder().configure(&context).profile_name(name);
            if let Some(file) = file {
                builder = builder.profile_files(only(file));
            }
            SharedCredentialsProvider::new(builder.build())
        }
        Login::Environment => SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()),
        Login::WebIdentity => SharedCredentialsProvider::new(
            WebIdentityTokenCredentialsProvider::builder().configure(&context).build(),
        ),
        Login::InstanceRole => {
            let container = EcsCredentialsProvider::builder().configure(&context).build();
            let machine = ImdsCredentialsProvider::builder().configure(&context).build();
            SharedCredentialsProvider::new(
                CredentialsProviderChain::first_try("container", container).or_else("machine", machine),
            )
        }
    }
}
