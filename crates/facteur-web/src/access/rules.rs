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
    &[
        ("GET", "/v1/audit", Admin),
        ("GET", "/v1/bulks", Read),
        ("POST", "/v1/bulks", Send),
        ("GET", "/v1/bulks/{id}", Read),
        ("PATCH", "/v1/bulks/{id}", Send),
        ("POST", "/v1/bulks/{id}/cancel", Send),
        ("GET", "/v1/bulks/{id}/events", Read),
        ("GET", "/v1/bulks/{id}/failed.csv", Read),
        ("POST", "/v1/bulks/{id}/pause", Send),
        ("GET", "/v1/bulks/{id}/recipients", Read),
        ("POST", "/v1/bulks/{id}/resume", Send),
        ("POST", "/v1/bulks/{id}/retry", Send),
        ("GET", "/v1/contacts", Read),
        ("GET", "/v1/contacts/{id}", Read),
        ("DELETE", "/v1/contacts/{id}", Admin),
        ("PUT", "/v1/contacts/{id}/consents/{channel}", Admin),
        ("GET", "/v1/conversations", Read),
        ("POST", "/v1/conversations", Send),
        ("GET", "/v1/conversations/{id}", Read),
        ("PATCH", "/v1/conversations/{id}", Send),
        ("GET", "/v1/conversations/{id}/messages", Read),
        ("POST", "/v1/conversations/{id}/messages", Send),
        ("GET", "/v1/dead-letters", Admin),
        ("GET", "/v1/dead-letters/{id}", Admin),
        ("GET", "/v1/integrations", Admin),
        ("POST", "/v1/integrations", Admin),
        ("GET", "/v1/integrations/{id}", Admin),
        ("PATCH", "/v1/integrations/{id}", Admin),
        ("DELETE", "/v1/integrations/{id}", Admin),
        ("POST", "/v1/integrations/{id}/default", Admin),
        ("POST", "/v1/integrations/{id}/test", Admin),
        ("GET", "/v1/keys", Admin),
        ("POST", "/v1/keys", Admin),
        ("DELETE", "/v1/keys/{id}", Admin),
        ("GET", "/v1/media/{id}", Read),
        ("GET", "/v1/messages", Read),
        ("POST", "/v1/messages", Send),
        ("GET", "/v1/messages/{id}", Read),
        ("DELETE", "/v1/messages/{id}", Send),
        ("POST", "/v1/messages/{id}/cancel", Send),
        ("GET", "/v1/messages/{id}/explain", Read),
        ("GET", "/v1/pauses", Read),
        ("POST", "/v1/pauses", Admin),
        ("DELETE", "/v1/pauses/{scope}/{key}", Admin),
        ("GET", "/v1/sender-pools", Read),
        ("PUT", "/v1/sender-pools/{name}", Admin),
        ("DELETE", "/v1/sender-pools/{name}", Admin),
        ("GET", "/v1/senders", Read),
        ("PUT", "/v1/senders/{sender}", Admin),
        ("GET", "/v1/status", Admin),
        ("GET", "/v1/suppressions", Read),
        ("POST", "/v1/suppressions", Send),
        ("DELETE", "/v1/suppressions/{number}", Admin),
        ("GET", "/v1/templates", Read),
        ("POST", "/v1/templates", Admin),
        ("GET", "/v1/templates/built-in", Read),
        ("POST", "/v1/templates/preview", Read),
        ("GET", "/v1/templates/{id}", Read),
        ("PUT", "/v1/templates/{id}", Admin),
        ("DELETE", "/v1/templates/{id}", Admin),
        ("POST", "/v1/templates/{id}/preview", Read),
        ("PUT", "/v1/tenant-aliases/{alias}", Superadmin),
        ("GET", "/v1/tenants/{slug}", Read),
        ("PATCH", "/v1/tenants/{slug}", Admin),
        ("GET", "/v1/tenants/{slug}/usage", Read),
        ("GET", "/v1/whoami", Any),
        ("POST", "/api/sms/bulk", Admin),
        ("POST", "/api/sms/format-phone", Any),
        ("POST", "/api/sms/notification", Admin),
        ("POST", "/api/sms/send", Admin),
        ("GET", "/api/sms/test", Admin),
        ("GET", "/api/templates", Read),
        ("POST", "/api/templates", Send),
        ("GET", "/api/templates/{id}", Read),
        ("PUT", "/api/templates/{id}", Send),
        ("PATCH", "/api/templates/{id}", Send),
        ("DELETE", "/api/templates/{id}", Send),
        ("GET", "/api/v1/admin/notification-templates", Read),
        ("POST", "/api/v1/admin/notification-templates", Admin),
        ("GET", "/api/v1/admin/notification-templates/{id}", Read),
        ("PUT", "/api/v1/admin/notification-templates/{id}", Admin),
        ("PATCH", "/api/v1/admin/notification-templates/{id}", Admin),
        ("DELETE", "/api/v1/admin/notification-templates/{id}", Admin),
        ("POST", "/api/v1/admin/notification-templates/{id}/preview", Read),
        ("GET", "/api/v1/notifications", Read),
        ("POST", "/api/v1/notifications", Send),
        ("GET", "/api/v1/notifications/{id}", Read),
        ("POST", "/api/v1/tenants/{tenant}/events/{event}", Send),
        ("GET", "/inbox/contacts", Read),
        ("GET", "/inbox/conversations", Read),
        ("POST", "/inbox/conversations", Send),
        ("GET", "/inbox/conversations/{id}", Read),
        ("PATCH", "/inbox/conversations/{id}", Send),
        ("POST", "/inbox/conversations/{id}/messages", Send),
        ("GET", "/inbox/integrations", Admin),
        ("POST", "/inbox/integrations", Admin),
        ("GET", "/inbox/integrations/{id}", Admin),
        ("PATCH", "/inbox/integrations/{id}", Admin),
        ("DELETE", "/inbox/integrations/{id}", Admin),
        ("POST", "/inbox/integrations/{id}/default", Admin),
        ("POST", "/inbox/integrations/{id}/test", Admin),
        ("POST", "/twilio/bulk/{bulkId}/retry", Send),
        ("GET", "/twilio/bulk/{bulkId}/status", Read),
        ("GET", "/twilio/history", Read),
        ("POST", "/twilio/send-bulk", Send),
        ("POST", "/twilio/send-mms", Send),
        ("POST", "/twilio/send-sms", Send),
        ("POST", "/twilio/send-whatsapp", Send),
        ("GET", "/twilio/status/{messageSid}", Read),
    ]
};

/// What a route takes; `None` if it is not in the table.
pub(crate) fn needed(method: &str, route: &str) -> Option<Permission> {
    let route = route.trim_end_matches('/');
    RULES.iter().find(|(m, r, _)| *m == method && *r == route).map(|(.., needed)| *needed)
}
