// Package proxy carries one mail connection, from accept to close.
//
// The life of a connection:
//
//  1. [Server.Serve] accepts it. The gate decides whether its address may connect,
//     once a load balancer has named it. (package gate)
//  2. A session greets the client and reads its commands up to a login: hear, in
//     the dialect of the listener's protocol. (imap.go, pop3.go or smtp.go)
//  3. The vault checks the local password and returns a grant with an access token
//     that is fresh enough. (package tokens)
//  4. The session logs in to the provider with that token: enter. If the provider
//     refuses a cached token, the token is renewed once. (package upstream)
//  5. welcome tells the client that it is logged in, in the provider's words. If a
//     step failed, refuse tells it why, by one table for all protocols, and the
//     client may try again. (refusal.go)
//  6. The relay copies bytes both ways until the provider closes. Only under a
//     password that may do less than its mailbox allows, a filter reads them.
//     (packages relay and filter)
//
// session.run in session.go has steps 2 to 5 in this order.
package proxy
