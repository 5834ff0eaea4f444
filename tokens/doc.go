// Package tokens holds the secrets: who may log in with which local password,
// and the provider tokens behind each mailbox.
package tokens
