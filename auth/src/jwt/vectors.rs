//! Published vectors: Wycheproof's (`tests/vectors/`) and those of the standards.

use super::{
    BadKey, Key, KeySet, Refused,
    compact::{Buffer, Compact},
    jwk,
};
use serde_json::Value;

/// What is wrong with a signature or its key.
#[derive(Debug)]
enum Wrong {
    Key(BadKey),
    Token(Refused),
}

/// Verifies a signature whose payload may be anything.
fn verify(keys: &str, token: &str) -> Result<(), Wrong> {
    let document: Value = serde_json::from_str(keys).unwrap();
    let keys = match document.get("keys") {
        Some(_) => KeySet::jwks(keys).map_err(Wrong::Key)?,
        None => jwk::key(keys).map_err(Wrong::Key)?.into(),
    };
    signature(&keys, token).map_err(Wrong::Token)
}

fn signature(keys: &KeySet, token: &str) -> Result<(), Refused> {
    let compact = Compact::cut(token)?;
    let mut buffer = Buffer::new();
    let header = compact.header(&mut buffer)?;
    let algorithm = header.algorithm()?;
    compact.payload()?;
    let key = keys.find(algorithm, header.key.as_deref()).ok_or(Refused::UnknownKey(None))?;
    let mut buffer = Buffer::new();
    let signature = compact.signature(&mut buffer)?;
    if key.verify(algorithm, compact.signed, signature) { Ok(()) } else { Err(Refused::Signature) }
}

/// Vectors of the file about signatures that can't be meant as they stand there.
const ODD: [(u64, &str); 6] = [
    (346, "says that its key is for PS256, and is of PS384: RFC 7520 does not say what it is for"),
    (350, "says that its key is for PS256, and is of PS384: RFC 7520 does not say what it is for"),
    (367, "is invalid, and the same as 357, which is valid: it has lost its padding"),
    (370, "is invalid, and the same as 357, which is valid: it has lost its padding"),
    (372, "is valid, and has a question mark in its header, which RFC 7515 does not allow"),
    (373, "is valid, and has a question mark in its payload, which RFC 7515 does not allow"),
];

#[test]
fn wycheproofs_valid_signatures_are_accepted_and_no_invalid_one_is() {
    let (mut accepted, mut rejected, mut unsupported) = (0, 0, 0);
    let (mut odd, mut wrong) = (Vec::new(), Vec::new());
    for file in [
        include_str!("../../tests/vectors/json_web_crypto_test.json"),
        include_str!("../../tests/vectors/json_web_key_test.json"),
        include_str!("../../tests/vectors/json_web_signature_test.json"),
    ] {
        let file: Value = serde_json::from_str(file).unwrap();
        for group in file["testGroups"].as_array().unwrap() {
            let keys = group.get("public").unwrap_or(&group["private"]);
            for test in group["tests"].as_array().unwrap() {
                // The others are encrypted.
                let Some(token) = test.get("jws") else { continue };
                let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
                match (test["result"].as_str().unwrap(), verify(&keys.to_string(), &token)) {
                    ("valid", Ok(())) => accepted += 1,
                    ("invalid", Err(_)) => rejected += 1,
                    ("valid", Err(Wrong::Key(BadKey::Unsupported(_)))) => unsupported += 1,
                    (result, outcome) => {
                        let id = test["tcId"].as_u64().unwrap();
                        match ODD.iter().any(|(known, _)| *known == id) {
                            true => odd.push(id),
                            false => wrong.push(format!("{result}, but {outcome:?}: {test}")),
                        }
                    }
                }
            }
        }
    }
    println!(
        "Wycheproof: {accepted} valid accepted, {rejected} invalid rejected, {unsupported} valid \
         ones of unsupported algorithms, and these that can't be meant as they stand: {ODD:#?}"
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(odd, ODD.map(|(id, _)| id));
    assert_eq!((accepted, rejected, unsupported), (49, 419, 2));
}

/// The payload of the examples of RFC 7515.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a_1_hmac() {
    let key = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    verify(key, &token).unwrap();
}

#[test]
fn rfc_7515_a_2_rsa() {
    let key = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    verify(key, &token).unwrap();
}

#[test]
fn rfc_7515_a_3_ecdsa() {
    let key = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    verify(key, &token).unwrap();
}

#[test]
fn rfc_7515_a_4_p_521_is_said_not_to_be_supported() {
    let key = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
    assert!(matches!(Key::jwk(key), Err(BadKey::Unsupported(_))));
}

#[test]
fn rfc_7515_a_5_a_token_without_signature_is_refused() {
    let key = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let outcome = verify(key, &format!("eyJhbGciOiJub25lIn0.{JOE}."));
    assert!(matches!(outcome, Err(Wrong::Token(Refused::Algorithm(name))) if name == "none"));
}

#[test]
fn rfc_8037_a_4_ed25519() {
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    verify(key, token).unwrap();
}
