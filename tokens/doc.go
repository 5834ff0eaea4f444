// Package tokens holds the secrets: who may log in with which local password,
// and the provider tokens behind each mailbox. [Vault] answers the one question
// the rest of the program has: may this client act for this mailbox, and with
// which access token?
//
// # What is secret, where it lies, who can read it
//
//   - Refresh and access tokens, and the verifiers of local passwords, are one
//     [Account] a mailbox, kept in a [Store] under a [Seal]. Whoever has both
//     the store and the seal key can act for the mailboxes; whoever has one of
//     the two has nothing. A seal key left in the state directory therefore
//     protects backups that leave it out, and nothing else.
//   - Generated local passwords are kept as a keyed hash, chosen ones as
//     argon2id. Neither can be read back, and neither encrypts a token: two
//     programs with two passwords must both be able to use one mailbox.
//   - The OAuth client's secret comes from the configuration and is not kept.
//   - In memory, secrets are of type [Secret], which does not print.
//
// # Invariants
//
//   - One refresh of a mailbox is under way at a time, in all processes that
//     share a store: it happens inside [Store.Update]. Whoever comes second
//     reads what the first one wrote and makes no call.
//   - A token is written before it is used. If it cannot be written it is kept
//     in memory and written before anything else happens to the mailbox.
//   - A refresh token is replaced only by another one, and removed only with
//     its mailbox. [Account.Dead] is a remark about it, not its end.
//   - Only a definite answer sets Dead: invalid_grant, or that the owner has to
//     sign in. Where nobody signs in, nothing does. Only a wrong user name or
//     local password is [ErrBadLogin].
//   - Nothing that is to be acted upon is known to a process alone: what the
//     command line or another server changes, a running server sees at the next
//     login; while a database ([store.Postgres]) cannot be reached, after at most
//     [store.PostgresOptions].Outage.
package tokens
