//! TLS to MySQL by URL: it is used where the server demands it, and a server that cannot show who it is
//! is not trusted with anything.

use std::path::Path;

use holdfast_loadtest::rig::database::MariaDb;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// An authority that signs certificates.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[tokio::test]
async fn the_url_says_how_far_the_server_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (authority(), authority());
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("an address").signed_by(&key, &ours).expect("signed");
    let ca = write(folder.path(), "ca.pem", &ours.pem());
    let other_ca = write(folder.path(), "other.pem", &theirs.pem());
    let server = MariaDb::builder()
        .argument(format!("--ssl-ca={ca}"))
        .argument(format!("--ssl-cert={}", write(folder.path(), "cert.pem", &certificate.pem())))
        .argument(format!("--ssl-key={}", write(folder.path(), "key.pem", &key.serialize_pem())))
        .argument("--require-secure-transport=ON")
        .start()
        .await
        .expect("a server with TLS");
    let url = server.create_database().await.expect("a database");
    let try_with = async |parameters: &str| {
        let url = format!("{url}?{parameters}");
        let store = crate::store::open(&url, &OpenOptions::default()).await.expect("the URL is fine");
        store.migrate().await
    };
    for parameters in [
        format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"),
        format!("ssl-mode=VERIFY_CA&ssl-ca={ca}"),
        "ssl-mode=REQUIRED".to_owned(),
        String::new(),
    ] {
        try_with(&parameters).await.unwrap_or_else(|error| panic!("{parameters}: {error}"));
    }
    for parameters in [
        format!("ssl-mode=VERIFY_CA&ssl-ca={other_ca}"),
        format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={other_ca}"),
        "ssl-mode=DISABLED".to_owned(),
    ] {
        assert_eq!(fault(try_with(&parameters).await), Some(Fault::Disconnected), "{parameters}");
    }
}
