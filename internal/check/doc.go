// Package check is the doctor: it walks the way of a login one step at a time
// and says of each whether it works, and of what does not, the one thing to do
// about it. [Run] reports, in this order and always all of them:
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
//  5. smtp extensions: what is promised to mail programs before a login
//     against what the provider keeps (its EHLO)
//  6. token: dns, tcp and tls of the token endpoint
//  7. clock, against the Date of its answers
//  8. client: whether the provider knows the OAuth client
//
// Of each mailbox
//
//  9. mailbox: it is there, and its provider is configured
//  10. refresh: a new access token, kept as any other
//  11. scopes: what the owner granted against what was asked
//  12. imap login and the folder list; pop3 login and STAT, since Gmail says
//     "not enabled" only there; smtp login; smtp send, if it was asked for
//  13. grant: when a person is needed next
//
// A step whose ground has failed is skipped and says which one that was.
// Nothing is changed but what a login changes too, and by the same means: a
// refresh goes through [tokens.Vault], so a server may be running meanwhile.
//
// The logins are made by go-imap's imapclient and go-smtp, not by package
// proxy: a judge of our own bytes would share our mistakes.
package check
