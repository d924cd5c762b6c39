//! libFuzzer's way to `rule_properties`: the text of a rule file.

#![no_main]

mod rule_properties;

libfuzzer_sys::fuzz_target!(|text: &[u8]| rule_properties::hold(text));
