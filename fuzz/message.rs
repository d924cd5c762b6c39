//! libFuzzer's way to `mail_properties`: bytes of a mail, screened by `rules/ap.toml`.

#![no_main]

mod mail_properties;

libfuzzer_sys::fuzz_target!(|raw: &[u8]| mail_properties::hold(raw));
