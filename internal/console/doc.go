// Package console is the web console: administrators and mailbox owners connect
// mailboxes, hand out local passwords, read the login record and test the way of
// a login, in a browser.
//
// Every page is rendered on the server and works without JavaScript. A request
// passes the same steps in the same order: the host name is checked
// (headers.go), the session cookie or the reverse proxy's header names the person
// (session.go, signin.go), the page's access rule decides (console.go), and a
// form must come from the console itself (net/http.CrossOriginProtection). The
// texts are data, one file a language (texts.go, texts/); the pages are
// templates (pages.go, pages/).
package console
