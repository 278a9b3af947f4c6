#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = recado_ingress::fuzzing::form_fields(data, 3); let _ = recado_types::jmespath::MAX_DEPTH; });
