//! Users, their roles and the hashes of their passwords.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use clap::ValueEnum;
use std::collections::BTreeMap;

/// What somebody may do. Each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Sits at the desk.
    Moderator,
    /// Changes items, queues and limits.
    Supervisor,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Moderator => "moderator",
            Role::Supervisor => "supervisor",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Role> {
        let all = [Role::Viewer, Role::Moderator, Role::Supervisor];
        all.into_iter().find(|role| role.name() == name.trim())
    }
}

/// Who may sign in, and how.
pub(crate) enum Users {
    /// By any name, without a password: on loopback only.
    ByName,
    /// By any name, with the one password.
    OnePassword(String),
    /// These, each with a role and a hash.
    Named(BTreeMap<String, (Role, String)>),
}

impl Users {
    pub(crate) fn by_name_alone() -> Users {
        Users::ByName
    }

    pub(crate) fn one_password(password: &str) -> Result<Users, String> {
        Ok(Users::OnePassword(hash(password)?))
    }

    /// Reads `name:role:hash` lines; empty ones and those that begin with # are passed over.
    pub(crate) fn read(text: &str) -> Result<Users, String> {
        let mut users = BTreeMap::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("users file, line {}: {why}", n + 1);
            let mut parts = line.splitn(3, ':');
            let (Some(name), Some(role), Some(hash)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(wrong("it should be name:role:hash"));
            };
            let role = Role::of(role)
                .ok_or_else(|| wrong("the role is viewer, moderator or supervisor"))?;
            PasswordHash::new(hash)
                .map_err(|_| wrong("the hash is none; make one with: modq-console hash"))?;
            name_fault(name).map_or(Ok(()), |why| Err(wrong(why)))?;
            if users
                .insert(name.to_owned(), (role, hash.to_owned()))
                .is_some()
            {
                return Err(wrong("this name is there twice"));
            }
        }
        match users.is_empty() {
            true => Err("the users file has no users".into()),
            false => Ok(Users::Named(users)),
        }
    }

    pub(crate) fn have_passwords(&self) -> bool {
        !matches!(self, Users::ByName)
    }

    /// The role of who may sign in so; `default` where the file says none. Takes some 20 ms of processor time on purpose.
    pub(crate) fn check(&self, name: &str, password: &str, default: Role) -> Option<Role> {
        match self {
            Users::ByName => Some(default),
            Users::OnePassword(hash) => fits(password, hash).then_some(default),
            Users::Named(users) => match users.get(name) {
                Some((role, hash)) => fits(password, hash).then_some(*role),
                None => {
                    // So that the time does not tell which names exist.
                    let (_, any) = users.values().next()?;
                    fits(password, any);
                    None
                }
            },
        }
    }
}

/// Why this is no name to sign in with; none if it is one.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    match () {
        () if name.trim().is_empty() => Some("Enter a name."),
        () if name.len() > 100 => Some("The name is too long: up to 100 bytes."),
        () if name != name.trim() || name.chars().any(char::is_control) => {
            Some("The name has characters that a name cannot have.")
        }
        () => None,
    }
}

/// The hash of a password, for the users file.
pub(crate) fn hash(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|h| h.to_string())
        .map_err(|e| format!("cannot hash: {e}"))
}

fn fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    Argon2::default()
        .verify_password(password.as_bytes(), &hash)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_file() -> Result<(), String> {
        let file = format!(
            "# team\n\nmia:moderator:{}\nsue:supervisor:{}\n",
            hash("one")?,
            hash("two")?
        );
        let users = Users::read(&file)?;
        assert_eq!(
            users.check("mia", "one", Role::Supervisor),
            Some(Role::Moderator)
        );
        assert_eq!(
            users.check("sue", "two", Role::Viewer),
            Some(Role::Supervisor)
        );
        for (name, password) in [("mia", "two"), ("mia", ""), ("nobody", "one"), ("", "")] {
            assert_eq!(users.check(name, password, Role::Supervisor), None);
        }
        for wrong in ["mia:moderator", "mia:king:x", "mia:viewer:plain", "# none"] {
            assert!(Users::read(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn one_password_for_all() -> Result<(), String> {
        let users = Users::one_password("secret")?;
        assert_eq!(
            users.check("anybody", "secret", Role::Moderator),
            Some(Role::Moderator)
        );
        assert_eq!(users.check("anybody", "Secret", Role::Moderator), None);
        Ok(())
    }
}
