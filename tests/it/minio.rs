//! A bucket of a real MinIO. `HEADWORKS_TEST_MINIO` has its endpoint, root user and password, separated by blanks.

use crate::processes::is_available;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use uuid::Uuid;

/// A bucket that nobody else uses.
pub struct Bucket {
    pub name: String,
    pub endpoint: String,
    pub user: String,
    pub password: String,
    pub client: Client,
}

impl Bucket {
    /// A new one; `None` where there is no MinIO, which is said.
    pub async fn fresh() -> Option<Self> {
        let given = std::env::var("HEADWORKS_TEST_MINIO").unwrap_or_default();
        if given.is_empty() {
            is_available("minio", &["HEADWORKS_TEST_MINIO"]);
            return None;
        }
        Some(Self::at(&given).await)
    }

    /// A new one of another server, given as the variable has it.
    async fn at(server: &str) -> Self {
        let words: Vec<&str> = server.split_whitespace().collect();
        let [endpoint, user, password] = words[..] else { panic!("not a MinIO: {server:?}") };
        let client = client(endpoint, user, password);
        let name = format!("test-{}", Uuid::new_v4().simple());
        client.create_bucket().bucket(&name).send().await.unwrap();
        let [endpoint, user, password] = [endpoint, user, password].map(str::to_owned);
        Self { name, endpoint, user, password, client }
    }

    /// Settings of the store, and of every volume in this bucket.
    pub fn settings(&self) -> String {
        let Self { user, password, .. } = self;
        self.settings_with(&format!("access_key = {user:?}\nsecret_key = {password:?}\n"))
    }

    /// The same with another login.
    pub fn settings_with(&self, login: &str) -> String {
        let Self { name, endpoint, .. } = self;
        let mut settings = format!("[s3.main]\nendpoint = {endpoint:?}\n{login}");
        for volume in ["inbox", "archive", "blobs"] {
            settings.push_str(&format!(
                "[volume.{volume}]\nkind = \"s3\"\ns3 = \"main\"\nbucket = {name:?}\nprefix = {volume:?}\n"
            ));
        }
        settings
    }

    /// A login with a temporary key that may do nothing but `actions`, as the store's token service gives it.
    pub fn login_for(&self, actions: &[&str]) -> String {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}],
        });
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--aws-sigv4", "aws:amz:us-east-1:sts", "--user"]);
        curl.arg(format!("{}:{}", self.user, self.password));
        for field in ["Action=AssumeRole", "Version=2011-06-15", "DurationSeconds=900"] {
            curl.args(["--data-urlencode", field]);
        }
        curl.args(["--data-urlencode", &format!("Policy={policy}"), &self.endpoint]);
        let answer = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        let field = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{answer}"));
            rest.split('<').next().unwrap().to_owned()
        };
        let [id, secret, token] = ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(field);
        format!("access_key = {id:?}\nsecret_key = {secret:?}\nsession_token = {token:?}\n")
    }

    /// The keys of its objects, in order.
    pub async fn keys(&self) -> Vec<String> {
        let listed = self.client.list_objects_v2().bucket(&self.name).send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    /// The bytes of an object.
    pub async fn read(&self, key: &str) -> Vec<u8> {
        let found = self.client.get_object().bucket(&self.name).key(key).send().await.unwrap();
        found.body.collect().await.unwrap().to_vec()
    }

    /// Puts an object in the place of another one, as no headworks does.
    pub async fn replace(&self, key: &str, bytes: &'static [u8]) {
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(bytes.to_vec().into())
            .send()
            .await
            .unwrap();
    }
}

fn client(endpoint: &str, user: &str, password: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(user, password, None, None, "test"))
        .http_client(Builder::new().build_http());
    Client::from_conf(config.build())
}

/// A MinIO of this test alone, which it may stop. Dropping it ends it.
pub struct Own {
    directory: TempDir,
}

impl Own {
    /// Starts one where there is a MinIO to test against, and makes a bucket there.
    pub async fn start() -> Option<(Self, Bucket)> {
        if std::env::var("HEADWORKS_TEST_MINIO").unwrap_or_default().is_empty() {
            is_available("minio", &["HEADWORKS_TEST_MINIO"]);
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let own = Self { directory };
        let printed = own.run("start");
        let values: Vec<&str> =
            printed.lines().filter_map(|line| line.split_once('=')).map(|(_, v)| v).collect();
        let bucket = Bucket::at(&values.join(" ")).await;
        Some((own, bucket))
    }

    /// Runs `start` or `stop`; a server that is started again has its data and port.
    pub fn run(&self, script: &str) -> String {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/minio");
        let mut command = Command::new(services.join(script));
        // A server keeps its standard output, so this must be no pipe that somebody waits for.
        let output = tempfile::tempfile().unwrap();
        let ended =
            command.arg(self.directory.path().join("minio")).stdout(output.try_clone().unwrap()).status();
        assert!(ended.unwrap().success(), "minio {script}");
        let mut bytes = vec![0; usize::try_from(output.metadata().unwrap().len()).unwrap()];
        output.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.run("stop");
    }
}
