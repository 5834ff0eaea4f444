// Package proxy carries one mail connection, from accept to close.
//
// The life of a connection:
//
//  1. [Server.Serve] accepts it and [Gate.Admit] seats it, once a load balancer
//     has said whose it is; TLS may come first. (server.go, gate.go,
//     gate_seats.go, proxyheader.go, detect.go)
//  2. The dialect of the listener's protocol greets the client and hears it out
//     up to its login: hear. (imap.go, pop3.go, smtp.go, sasl.go)
//  3. [tokens.Vault.Authorize] checks the local password and brings an access
//     token with most of its life left, unless [Gate.Begin] keeps the login from
//     it. (package tokens; gate_guesses.go, gate_failures.go, gate_known.go)
//     Devices in a trusted network need no password. (trusted.go)
//  4. dial reaches the provider and enter logs in to it, with XOAUTH2 or
//     OAUTHBEARER; a cached token it refuses is renewed once. (upstream.go,
//     outbound.go)
//  5. welcome tells the client it is in, in the provider's words. If any step
//     failed, refuse says so instead, by the one table of refusal.go, and the
//     client may try again.
//  6. relay carries bytes both ways, knowing nothing of mail, until the
//     provider closes. (relay.go, wire.go) Only under a password that may do
//     less than its mailbox could are they read along. (narrow.go, readonly_*.go,
//     sendlimit*.go)
//
// The body of session.run in session.go is this list as a program.
package proxy
