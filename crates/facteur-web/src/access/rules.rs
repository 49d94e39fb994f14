//! The one table that says who may what. A route that is not in it lets nobody in.

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    /// Any valid bearer: it tells nothing of anybody's.
    Any,
    /// To see what is the tenant's.
    Read,
    /// To send, and to stop what one sent.
    Send,
    /// To change how the tenant's messages are sent, and to see who did what.
    Admin,
    /// To change what belongs to no single tenant.
    Superadmin,
}

impl Permission {
    /// As the document says it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Read => "read",
            Self::Send => "send",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }
}

/// Method, route, and what it takes; in the order of the routes.
pub(crate) const RULES: &[(&str, &str, Permission)] = {
    use Permission::{Admin, Any, Read, Send, Superadmin};
    const _: [Permission; 2] = [Superadmin, Superadmin];
    &[
        ("GET", "/inbox/contacts", Read),
        ("GET", "/inbox/conversations", Read),
        ("POST", "/inbox/conversations", Send),
        ("GET", "/inbox/conversations/{id}", Read),
        ("PATCH", "/inbox/conversations/{id}", Send),
        ("POST", "/inbox/conversations/{id}/messages", Send),
        ("GET", "/v1/audit", Admin),
        ("GET", "/v1/contacts", Read),
        ("GET", "/v1/contacts/{id}", Read),
        ("GET", "/v1/conversations", Read),
        ("POST", "/v1/conversations", Send),
        ("GET", "/v1/conversations/{id}", Read),
        ("PATCH", "/v1/conversations/{id}", Send),
        ("GET", "/v1/conversations/{id}/messages", Read),
        ("POST", "/v1/conversations/{id}/messages", Send),
        ("GET", "/v1/keys", Admin),
        ("POST", "/v1/keys", Admin),
        ("DELETE", "/v1/keys/{id}", Admin),
        ("POST", "/v1/messages", Send),
        ("GET", "/v1/suppressions", Read),
        ("POST", "/v1/suppressions", Send),
        ("DELETE", "/v1/suppressions/{number}", Admin),
        ("GET", "/v1/tenants/{slug}", Read),
        ("PATCH", "/v1/tenants/{slug}", Admin),
        ("GET", "/v1/tenants/{slug}/usage", Read),
        ("GET", "/v1/whoami", Any),
    ]
};

/// What a route takes; `None` if it is not in the table.
pub(crate) fn needed(method: &str, route: &str) -> Option<Permission> {
    let route = route.trim_end_matches('/');
    RULES.iter().find(|(m, r, _)| *m == method && *r == route).map(|(.., needed)| *needed)
}
