//! Amounts of processor time and memory, as Kubernetes writes them.

/// From a billionth to 10^18 or 2^60; what stands for nothing is one.
const SUFFIXES: [&str; 16] =
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The text itself, if it is an amount (`Quantity` of k8s.io/apimachinery, without a sign).
///
/// # Errors
/// It is none: the API server would refuse the pod.
pub fn quantity(text: &str) -> Result<String, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let is_number = number.contains(|c: char| c.is_ascii_digit()) && number.matches('.').count() <= 1;
    match is_number && (SUFFIXES.contains(&suffix) || is_exponent(suffix)) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no amount like 25m, 0.5 or 64Mi")),
    }
}

fn is_exponent(suffix: &str) -> bool {
    let Some(power) = suffix.strip_prefix(['e', 'E']) else { return false };
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    !power.is_empty() && power.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_with_a_suffix_that_kubernetes_knows() {
        for right in ["1", "25m", "0.5", ".5", "5.", "64Mi", "1e3", "1E-3", "2E", "12e+6", "100n"] {
            assert_eq!(quantity(right), Ok(right.to_owned()));
        }
        for wrong in ["", "lots", ".", "1.2.3", "64mi", "64 Mi", "1e", "-1", "m", "1KB", "0x10"] {
            assert!(quantity(wrong).is_err(), "{wrong}");
        }
    }
}
