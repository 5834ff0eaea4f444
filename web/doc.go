// Package web is what a monitor sees of a running authferry, over HTTP:
//
//	GET /healthz   whether the process is of any use: connections are accepted
//	GET /readyz    whether it can serve logins now: so, and the store can be read
//	               and written, and it is not stopping
//	GET /metrics   numbers, for Prometheus
//
// The first two answer 200, or 503 with a line for each reason why not; JSON to
// whom it accepts. Nothing can be changed here, and there is nothing to log in
// to: it is off unless the configuration names an address, and names of
// mailboxes, the one thing in it that is about people, can be left out.
package web
