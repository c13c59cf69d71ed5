//! What the Kubernetes manifests give the binaries, asked of the binaries themselves. `make k8s` looks at everything else about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::binaries;

use crate::mutual_tls::papers::{self, Authority, Flaw};

/// Where the pods find their files.
const MOUNTED: &str = "/etc/guildhall";

/// What renders, if anything here does.
fn renderer() -> Option<Vec<&'static str>> {
    let works = |program: &str| {
        let asked = Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok()
    };
    if works("kubectl") {
        Some(vec!["kubectl", "kustomize"])
    } else {
        works("kustomize").then(|| vec!["kustomize", "build"])
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        match kind.is_dir() {
            true if name == "secrets" => {}
            true => copy(&entry.path(), &to.join(name)),
            false => drop(fs::copy(entry.path(), to.join(name)).unwrap()),
        }
    }
}

/// An overlay's objects.
fn rendered(renderer: &[&str], overlay: &Path) -> Vec<Value> {
    let done = Command::new(renderer[0]).args(&renderer[1..]).arg(overlay).output().unwrap();
    assert!(done.status.success(), "{}: {}", overlay.display(), String::from_utf8_lossy(&done.stderr));
    serde_saphyr::from_multiple(std::str::from_utf8(&done.stdout).unwrap()).unwrap()
}

fn named<'v>(objects: &'v [Value], kind: &str, name: &Value) -> Option<&'v Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
}

/// What an external store would hold under this name.
fn stored(secret: &str, key: &str) -> String {
    match key {
        "client-id" => "operator".to_owned(),
        "secret-sha256" => "ab".repeat(32),
        "url" => format!("postgres://{secret}:password@db:5432/guildhall?sslmode=verify-full"),
        other => panic!("no store holds {other} of {secret}"),
    }
}

fn environment(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let name = &source["configMapRef"]["name"];
        let settings = named(objects, "ConfigMap", name).unwrap_or_else(|| panic!("there is no ConfigMap {name}"));
        for (name, value) in settings["data"].as_object().unwrap() {
            environment.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let reference = &variable["valueFrom"]["secretKeyRef"];
        let value = match reference["name"].as_str() {
            None => variable["value"].as_str().unwrap().to_owned(),
            Some(secret) => {
                let key = reference["key"].as_str().unwrap();
                match named(objects, "Secret", &reference["name"]) {
                    Some(made) => {
                        // Broken into lines where it is long.
                        let text: String = made["data"][key].as_str().unwrap().split_whitespace().collect();
                        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
                    }
                    None => stored(secret, key),
                }
            }
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value);
    }
    environment
}

/// The files that a pod of this service finds, where a test can put them.
fn mount(keys: &Path, service: &str, at: &Path) {
    copy(&keys.join("trust"), &at.join("trust"));
    fs::create_dir_all(at.join("keys")).unwrap();
    fs::copy(keys.join(format!("keys/{service}.pem")), at.join("keys/signing.pem")).unwrap();
    match service {
        "gateway" => fs::copy(keys.join("keys/access.pem"), at.join("keys/access.pem")).unwrap(),
        _ => fs::copy(keys.join(format!("sealing/{service}.keys")), at.join("keys/sealing.keys")).unwrap(),
    };
}

/// The certificate that cert-manager would make for what a pod mounts, if it mounts any.
fn mount_certificate(objects: &[Value], deployment: &Value, at: &Path) {
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let Some(volume) = volumes.iter().find(|volume| volume["name"] == "mutual-tls") else { return };
    let wanted = |object: &&Value| {
        object["kind"] == "Certificate" && object["spec"]["secretName"] == volume["secret"]["secretName"]
    };
    let certificate = objects.iter().find(wanted).expect("a Certificate makes what is mounted");
    let texts = |field: &str| -> Vec<&str> {
        certificate["spec"][field].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    };
    assert!(["server auth", "client auth"].iter().all(|usage| texts("usages").contains(usage)), "{certificate}");
    let authority = Authority::new("guildhall");
    papers::mount(&at.join("mutual-tls"), &authority.gives(&texts("dnsNames"), Flaw::None), &authority.pem);
    // Each URL of the settings is one that a certificate names.
    let settings =
        objects.iter().filter(|object| object["kind"] == "ConfigMap").filter_map(|map| map["data"].as_object());
    let urls = settings.flatten().filter(|(name, _)| {
        ["GUILDHALL_ORG_URL", "GUILDHALL_MEMBER_URL", "GUILDHALL_AUTHZ_URL"].contains(&name.as_str())
    });
    for (name, url) in urls {
        let host = url.as_str().unwrap().strip_prefix("https://").and_then(|rest| rest.split(':').next()).unwrap();
        let of_host = |object: &&Value| {
            object["kind"] == "Certificate"
                && object["spec"]["dnsNames"].as_array().is_some_and(|n| n.contains(&json!(host)))
        };
        assert_eq!(objects.iter().filter(of_host).count(), 1, "{name}: {host}");
    }
}

fn port(container: &Value, name: &str) -> String {
    let ports = container["ports"].as_array().unwrap();
    ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].to_string()
}

#[test]
fn the_binaries_understand_what_every_overlay_gives_them() {
    let Some(renderer) = renderer() else {
        eprintln!("SKIPPED: neither kubectl nor kustomize is installed, so no manifest can be rendered");
        return;
    };
    let (work, bin) = (tempfile::tempdir().unwrap(), binaries::built());
    let tree = work.path().join("deploy");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy"), &tree);
    let made = Command::new(tree.join("kubernetes/overlays/dev/make-secrets"))
        .env("GUILDHALL", bin.join("guildhall"))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let keys = tree.join("kubernetes/overlays/dev/secrets");
    for overlay in ["dev", "production"] {
        let objects = rendered(&renderer, &tree.join("kubernetes/overlays").join(overlay));
        let mut asked = Vec::new();
        for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
            let container = &object["spec"]["template"]["spec"]["containers"][0];
            let Some([service, "serve"]) = container["command"].as_array().and_then(|words| {
                <[&str; 2]>::try_from(words.iter().filter_map(Value::as_str).collect::<Vec<_>>()).ok()
            }) else {
                continue;
            };
            let mounted = work.path().join(overlay).join(service);
            mount(&keys, service, &mounted);
            mount_certificate(&objects, object, &mounted);
            let environment = environment(&objects, container);
            for (listener, name) in [("GUILDHALL_LISTEN", "api"), ("GUILDHALL_ADMIN_LISTEN", "admin")] {
                assert_eq!(
                    environment[listener].rsplit(':').next().unwrap(),
                    port(container, name),
                    "{service}: {name}"
                );
            }
            let mutual = environment.contains_key("GUILDHALL_MUTUAL_TLS");
            assert_eq!(mutual, overlay == "production", "{service}");
            let found = mounted.to_str().unwrap();
            let done = Command::new(bin.join(service))
                .arg("check-config")
                .env_clear()
                .envs(environment.iter().map(|(name, value)| (name, value.replace(MOUNTED, found))))
                .output()
                .unwrap();
            assert!(done.status.success(), "{overlay}: {}", String::from_utf8_lossy(&done.stderr));
            asked.push(service.to_owned());
        }
        asked.sort();
        assert_eq!(asked, ["authz-service", "gateway", "member-service", "org-service"], "{overlay}");
    }
}

/// Core features of the Gateway API alone, so that any implementation will do; the services have to be named one by one for that.
#[test]
fn the_route_has_a_way_to_every_public_method() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/components/gateway-api/http-route.yaml");
    let route: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let matches = route["spec"]["rules"][0]["matches"].as_array().unwrap();
    let paths: BTreeSet<&str> = matches.iter().map(|path| path["path"]["value"].as_str().unwrap()).collect();
    let public = api::METHODS.iter().filter(|method| method.http.is_some());
    let services: BTreeSet<String> = public.clone().map(|method| format!("/{}", method.service)).collect();
    let named: BTreeSet<&str> = paths.iter().copied().filter(|path| path.starts_with("/guildhall.")).collect();
    assert_eq!(named, services.iter().map(String::as_str).collect());
    for http in public.flat_map(|method| method.http.iter().chain(method.also_http)) {
        assert!(paths.iter().any(|path| http.path.starts_with(&format!("{path}/"))), "{}", http.path);
    }
    assert!(matches.len() <= 64, "more than a rule may have");
}
