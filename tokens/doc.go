// Package tokens decides whether a mail program may act for a mailbox, and with
// which access token. Its [Vault] keeps the grants that the owners of mailboxes
// gave at their providers, and the local passwords that may use them.
//
// # The life of a grant
//
//  1. Consent. Package [authferry/tokens/oauth] gets a grant from the provider:
//     an access token, and a refresh token to get the next ones with.
//     [Vault.Connect] (mailboxes.go) writes it to the store, sealed: package
//     [authferry/tokens/store].
//  2. A local password. [Vault.AddPassword] generates one or takes a chosen one
//     (password.go) and keeps a hash of it with the grant.
//  3. A login. Package proxy calls [Vault.Authorize] (vault.go). settings.go finds
//     the mailbox that the user name means, verifier.go checks the password.
//  4. The token. refresh.go returns the cached access token while it is fresh.
//     Otherwise it gets a new one from the provider, writes it, and returns it in
//     a [Grant]. Its comment draws the states of a grant.
//  5. The session. proxy logs in to the provider with [Grant.Credentials]. It calls
//     [Vault.Renew] if the provider rejects a cached token, and ends the session
//     when [Vault.Revoked] says so. hourlylimits.go limits what a session sends,
//     lastused.go notes when the password was used.
//  6. The end. keepalive.go refreshes grants that no login uses, because providers
//     drop those. A grant that the provider ended stays in the state needs-consent
//     until its owner connects the mailbox again. [Vault.Remove] (removal.go)
//     revokes the grant at the provider and removes the mailbox.
//
// # Secrets
//
//   - Refresh and access tokens and the hashes of local passwords are one
//     [store.Account] per mailbox, kept in a [store.Store] under a [store.Seal].
//     The store and the seal key together open the mailboxes; one of them alone
//     opens nothing. A seal key in the state directory therefore protects only
//     backups without it.
//   - Generated local passwords are kept as a keyed hash, chosen ones as argon2id.
//     Neither can be read back, and neither encrypts a token: two programs with
//     two passwords must both be able to use one mailbox.
//   - The OAuth client's secret comes from the configuration and is not stored.
//   - In memory, secrets are of type secret.String, which does not print.
//
// # Invariants
//
//   - One refresh of a mailbox runs at a time, in all processes that share a
//     store, because it runs inside [store.Store.Update]. The second process reads
//     what the first one wrote and makes no call.
//   - A token is written before it is used. If it cannot be written, it stays in
//     memory and is written before anything else happens to the mailbox.
//   - A refresh token is replaced only by another one, and removed only with its
//     mailbox. [store.Account.Dead] is a note about it and does not remove it.
//   - Only a definite answer sets Dead: invalid_grant, or that the owner must sign
//     in. It is never set for a flow without a person. Only a wrong user name or
//     local password is [ErrBadLogin].
//   - No process acts on what it alone knows: a running server sees a change by
//     the command line or another server at the next login; while a database
//     cannot be reached, after at most [store.PostgresOptions].Outage.
package tokens
