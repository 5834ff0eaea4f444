package demo

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed consent.html
var consentHTML string

var consentPage = template.Must(template.New("consent").Parse(consentHTML))

// consentView is what the page shows: the question, or why there is none, or
// what came of it.
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

// request is an authorisation request: RFC 6749 §4.1.1, RFC 7636 §4.3.
type request struct {
	redirectURI, scope, state, challenge string
}

// refusal is an error page: the person sees it and the program does not, since
// where it could be told has not been established.
type refusal struct {
	status       int
	code, detail string
}

func (r *refusal) Error() string { return r.code }

// parseRequest checks what Google checks before it shows the question.
func (p *Provider) parseRequest(q url.Values) (*request, error) {
	bad := func(code, detail string) (*request, error) {
		return nil, &refusal{http.StatusBadRequest, code, detail}
	}
	switch {
	case !p.isClient(q.Get("client_id")):
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

// showConsent asks the person.
func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	request, err := p.parseRequest(q)
	if err != nil {
		p.showRefusal(w, err)
		return
	}
	view := consentView{Client: q.Get("client_id"), Redirect: request.redirectURI, Scopes: strings.Fields(request.scope), Mailboxes: p.people()}
	view.Selected = canonical(q.Get("login_hint"))
	show(w, http.StatusOK, view)
}

// takeConsent sends the person's answer to the program that asked.
func (p *Provider) takeConsent(w http.ResponseWriter, r *http.Request) {
	request, err := p.parseRequest(r.URL.Query())
	if err != nil {
		p.showRefusal(w, err)
		return
	}
	mailbox := canonical(r.PostFormValue("mailbox"))
	back := url.Values{}
	switch {
	case r.PostFormValue("answer") != "allow":
		p.logf("oauth: consent was denied")
		back.Set("error", "access_denied")
	case !p.isPerson(mailbox):
		p.showRefusal(w, &refusal{http.StatusBadRequest, "invalid_request", "There is no such account here."})
		return
	default:
		scope := p.Faults.grantedScopes(request.scope)
		p.logf("oauth: %s allowed %s", mailbox, scope)
		back.Set("code", p.grants.newCode(&authCode{
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

func (p *Provider) showRefusal(w http.ResponseWriter, err error) {
	var r *refusal
	errors.As(err, &r)
	p.logf("oauth: the consent page refused a request: %s (%s)", r.code, r.detail)
	show(w, r.status, consentView{Error: r.code, Detail: r.detail})
}

func show(w http.ResponseWriter, status int, view consentView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// No form-action here: browsers apply it to the redirect that follows,
	// which goes to another port.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	consentPage.Execute(w, view) // a browser that has gone is no error
}

// Consent does what a person does on the consent page: it opens the URL,
// chooses the mailbox, allows, and returns the address it was redirected to
// without following it.
func (p *Provider) Consent(url, mailbox string) (redirected string, err error) {
	return p.visit(url, mailbox, "allow")
}

// Deny is [Provider.Consent] of a person who does not.
func (p *Provider) Deny(url, mailbox string) (redirected string, err error) {
	return p.visit(url, mailbox, "deny")
}

func (p *Provider) visit(address, mailbox, answer string) (string, error) {
	reply, err := fillIn(address, url.Values{"mailbox": {mailbox}, "answer": {answer}})
	if err != nil {
		return "", fmt.Errorf("the consent page: %w", err)
	}
	if reply.StatusCode != http.StatusFound {
		return "", fmt.Errorf("answering the consent page as %s: it says %s, is the mailbox one of Options.Mailboxes?", mailbox, reply.Status)
	}
	return reply.Header.Get("Location"), nil
}

func (p *Provider) visitDevice(userCode, mailbox, answer string) error {
	reply, err := fillIn(p.devicePage, url.Values{"user_code": {userCode}, "mailbox": {mailbox}, "answer": {answer}})
	if err != nil {
		return fmt.Errorf("the device page: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("typing the code %s as %s: the device page says %s, is a device waiting with it, and is the mailbox one of Options.Mailboxes?", userCode, mailbox, reply.Status)
	}
	return nil
}

// fillIn opens a page and sends its form. It follows no redirect, and the
// reply's body has been read.
func fillIn(address string, form url.Values) (*http.Response, error) {
	browser := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	page, err := browser.Get(address)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	io.Copy(io.Discard, page.Body)
	page.Body.Close()
	if page.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("opening it: it says %s", page.Status)
	}
	reply, err := browser.PostForm(address, form)
	if err != nil {
		return nil, fmt.Errorf("answering it: %w", err)
	}
	io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
	return reply, nil
}
