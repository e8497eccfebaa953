//! The folder of the credential: what it holds, how it breaks, and where it lies.

use std::path::Path;

use attache_kit::Mounted;

use crate::book::Login;
use crate::plan::Loss;
use crate::tls;

pub struct Folder {
    mounted: Mounted,
    /// Where it lay before; what is there stays there.
    left: Vec<Mounted>,
    /// What it is meant to hold, and how it is broken.
    content: Login,
    broken: Option<Loss>,
    /// How many client certificates it has held.
    certificates: usize,
}

impl Folder {
    pub fn new(content: Login) -> Folder {
        let mounted = Mounted::new(&entries(&content));
        Folder { mounted, left: Vec::new(), content, broken: None, certificates: 0 }
    }

    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    pub fn content(&self) -> Login {
        self.content.clone()
    }

    pub fn write(&mut self, login: Login) {
        if self.broken.take() == Some(Loss::Key) {
            self.mounted.readable("password");
        }
        self.content = login;
        let mut entries = entries(&self.content);
        if let Some(number) = self.certificates.checked_sub(1) {
            let pair = tls::client(number);
            entries.extend([("tls.crt", pair.cert_pem.as_str()), ("tls.key", pair.key_pem.as_str())]);
        }
        self.mounted.write(&entries);
    }

    /// It has another certificate from the next time on that it is written.
    pub fn certify(&mut self) {
        self.certificates += 1;
    }

    /// Whether that was possible: what is broken stays as it is.
    pub fn lose(&mut self, loss: Loss) -> bool {
        if self.broken.is_some() {
            return false;
        }
        match loss {
            Loss::Folder => self.mounted.break_(),
            Loss::Key => self.mounted.unreadable("password"),
            Loss::Empty => drop(self.mounted.credential(&self.content.user, "")),
        }
        self.broken = Some(loss);
        true
    }

    /// Lies elsewhere from now on, and holds this there.
    pub fn move_with(&mut self, login: Login) {
        let elsewhere = Mounted::new(&entries(&login));
        self.left.push(std::mem::replace(&mut self.mounted, elsewhere));
        (self.broken, self.certificates) = (None, 0);
        self.content = login;
    }
}

fn entries(login: &Login) -> Vec<(&'static str, &str)> {
    vec![("username", login.user.as_str()), ("password", login.password.as_str())]
}
