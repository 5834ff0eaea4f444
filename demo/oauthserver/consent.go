package oauthserver

import (
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"authferry/demo/eventlog"
	"authferry/demo/mailstore"
)

//go:embed consent.html
var consentHTML string

var consentPage = template.Must(template.New("consent").Parse(consentHTML))

// consentView is the content of the page: the question, an error, or the result.
type consentView struct {
	Device           bool // the question of a device, which shows a code
	Code             string
	Client, Redirect string
	Scopes           []string
	Mailboxes        []string
	Selected         string
	Error, Detail    string
	Done             string
}

// consentEndpoint is the authorization endpoint: RFC 6749 §3.1.
type consentEndpoint struct{ *Server }

// request is an authorization request: RFC 6749 §4.1.1, RFC 7636 §4.3.
type request struct {
	redirectURI, scope, state, challenge string
}

// refusal is an error page. The person sees it and the program does not: its
// redirect URI is not verified (RFC 6749 §4.1.2.1).
type refusal struct {
	status       int
	code, detail string
}

func (r *refusal) Error() string { return r.code }

// parseRequest checks what Google checks before it shows the question.
func (e *consentEndpoint) parseRequest(q url.Values) (*request, error) {
	bad := func(code, detail string) (*request, error) {
		return nil, &refusal{http.StatusBadRequest, code, detail}
	}
	switch {
	case !e.isClient(q.Get("client_id")):
		return nil, &refusal{http.StatusUnauthorized, "invalid_client", "The OAuth client was not found."}
	case q.Get("redirect_uri") == "":
		return bad("invalid_request", "Missing required parameter: redirect_uri")
	case !isLoopback(q.Get("redirect_uri")):
		return bad("redirect_uri_mismatch", "A desktop client is redirected to a loopback address: http://127.0.0.1, http://[::1] or http://localhost, any port.")
	case q.Get("response_type") != "code":
		return bad("invalid_request", "response_type must be code.")
	case strings.TrimSpace(q.Get("scope")) == "":
		return bad("invalid_request", "Missing required parameter: scope")
	}
	method := q.Get("code_challenge_method")
	if challenge := q.Get("code_challenge"); (challenge != "" || method != "") && (method != "S256" || len(challenge) != 43) {
		return bad("invalid_request", "code_challenge must be an S256 challenge of 43 characters.")
	}
	for _, scope := range strings.Fields(q.Get("scope")) {
		if !knownScope(scope) {
			return bad("invalid_scope", "Some requested scopes were invalid: "+scope)
		}
	}
	return &request{q.Get("redirect_uri"), q.Get("scope"), q.Get("state"), q.Get("code_challenge")}, nil
}

func knownScope(scope string) bool {
	return scope == gmailScope || strings.HasPrefix(scope, "https://www.googleapis.com/auth/") ||
		slices.Contains([]string{"openid", "email", "profile"}, scope)
}

// show asks the person.
func (e *consentEndpoint) show(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	request, err := e.parseRequest(q)
	if err != nil {
		showRefusal(e.log, w, err)
		return
	}
	view := consentView{Client: q.Get("client_id"), Redirect: request.redirectURI, Scopes: strings.Fields(request.scope), Mailboxes: e.store.Owners()}
	view.Selected = mailstore.Canonical(q.Get("login_hint"))
	showPage(w, http.StatusOK, view)
}

// take redirects the person's answer to the client.
func (e *consentEndpoint) take(w http.ResponseWriter, r *http.Request) {
	request, err := e.parseRequest(r.URL.Query())
	if err != nil {
		showRefusal(e.log, w, err)
		return
	}
	mailbox := mailstore.Canonical(r.PostFormValue("mailbox"))
	back := url.Values{}
	switch {
	case r.PostFormValue("answer") != "allow":
		e.log.Printf("oauth: consent was denied")
		back.Set("error", "access_denied")
	case !e.store.HasOwner(mailbox):
		showRefusal(e.log, w, &refusal{http.StatusBadRequest, "invalid_request", "There is no such account here."})
		return
	default:
		scope := e.faults.GrantedScopes(request.scope)
		e.log.Printf("oauth: %s allowed %s", mailbox, scope)
		back.Set("code", e.grants.newCode(&authCode{
			grant:       &grant{mailbox: mailbox, scope: scope},
			redirectURI: request.redirectURI,
			challenge:   request.challenge,
		}))
		back.Set("scope", scope)
		back.Set("authuser", "0")
		back.Set("prompt", "consent")
	}
	back.Set("iss", "https://accounts.google.com") // RFC 9207
	if request.state != "" {
		back.Set("state", request.state)
	}
	http.Redirect(w, r, addQuery(request.redirectURI, back), http.StatusFound)
}

func addQuery(address string, q url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + q.Encode()
	}
	return address + "?" + q.Encode()
}

// showRefusal shows the error page.
func showRefusal(log *eventlog.Log, w http.ResponseWriter, err error) {
	var r *refusal
	errors.As(err, &r)
	log.Printf("oauth: the consent page refused a request: %s (%s)", r.code, r.detail)
	showPage(w, r.status, consentView{Error: r.code, Detail: r.detail})
}

// showPage shows the consent page.
func showPage(w http.ResponseWriter, status int, view consentView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// No form-action here: browsers apply it to the redirect that follows,
	// which goes to another port.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	consentPage.Execute(w, view) // a browser that has gone is no error
}
