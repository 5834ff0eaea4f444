// Package check tests every step of a login, from the configuration to the last
// folder, and says of each whether it works and how to fix it. [Run] reports, in this
// order and always all of them:
//
// Of the installation
//
//  1. configuration
//  2. seal key: where it is, and who else can read it
//  3. store: whose it is, who else can read it, and whether each mailbox opens
//
// Of each provider
//
//  4. imap, pop3 and smtp: dns, tcp and tls, with who signed the certificate
//  5. smtp extensions: what mail programs are told before a login, compared with what
//     the provider supports (its EHLO)
//  6. token: dns, tcp and tls of the token endpoint
//  7. clock, compared with the Date of its responses
//  8. client: whether the provider knows the OAuth client
//
// Of each mailbox
//
//  9. mailbox: it exists, and its provider is configured
//  10. refresh: a new access token, which is kept
//  11. scopes: what the owner granted, compared with what was requested
//  12. imap login and the folder list; pop3 login and STAT, since Gmail says "not
//     enabled" only there; smtp login; smtp send, if requested
//  13. grant: when a person must sign in next
//
// A step that depends on a failed step is skipped and names it. A check changes only
// what a login changes too, by the same means: a refresh goes through [tokens.Vault],
// so a server may be running at the same time.
//
// The logins are made by go-imap's imapclient and go-smtp, not by package proxy, whose
// mistakes the check would share.
package check
