//! What README tells a newcomer to do works as it stands.

use std::path::Path;

use countersign::app;

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

#[test]
fn the_first_configuration_passes_its_check() {
    let readme = repository("README.md");
    let (_, after) = readme.split_once("```toml\n").expect("README shows a configuration");
    let (configuration, _) = after.split_once("```").expect("the configuration ends");
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("countersign.toml", configuration),
        ("people.toml", &repository("config/demo/people.toml")),
        ("rules/ap.toml", &repository("rules/ap.toml")),
        ("workflows/ap-invoice.toml", &repository("config/workflows/ap-invoice.toml")),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let checked =
        app::check(&dir.path().join("countersign.toml")).unwrap_or_else(|told| panic!("{}", app::listed(&told)));
    assert_eq!(checked.config.mailboxes.len(), 1);
}

#[test]
fn every_file_that_readme_points_to_is_there() {
    let readme = repository("README.md");
    let links: Vec<&str> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 6, "{links:?}");
    for link in links {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link} is not there");
    }
}
