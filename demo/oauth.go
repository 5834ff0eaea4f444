package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// newWebServer serves OAuth at a base address, on Google's paths.
func (p *Provider) newWebServer(base string) *http.Server {
	p.AuthURL = base + "/o/oauth2/v2/auth"
	p.TokenURL = base + "/token"
	p.RevokeURL = base + "/revoke"
	p.TokenInfoURL = base + "/tokeninfo"
	p.IntrospectURL = base + "/introspect"
	p.UserInfoURL = base + "/gmail/v1/users/me/profile"
	p.DeviceURL = base + "/device/code"
	p.devicePage = base + "/device"

	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/oauth2/v2/auth", p.showConsent)
	mux.HandleFunc("POST /o/oauth2/v2/auth", p.takeConsent)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /revoke", p.revoke)
	mux.HandleFunc("/tokeninfo", p.tokenInfo)
	mux.HandleFunc("/introspect", p.introspect)
	mux.HandleFunc("GET /gmail/v1/users/me/profile", p.profile)
	mux.HandleFunc("POST /device/code", p.deviceEndpoint)
	mux.HandleFunc("GET /device", p.showDevice)
	mux.HandleFunc("POST /device", p.takeDevice)
	return &http.Server{
		Handler:           p.dated(mux),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that vanish are no news
	}
}

// oauthError is an answer of RFC 6749 §5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	Subtype     string `json:"error_subtype,omitempty"`
	URI         string `json:"error_uri,omitempty"`
	status      int
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

// tokenAnswer is shaped as Google's.
type tokenAnswer struct {
	AccessToken           string `json:"access_token"`
	ExpiresIn             any    `json:"expires_in"` // a number, unless a fault says otherwise
	RefreshToken          string `json:"refresh_token,omitempty"`
	Scope                 string `json:"scope,omitempty"`
	TokenType             string `json:"token_type"`
	RefreshTokenExpiresIn int    `json:"refresh_token_expires_in,omitempty"`
	IDToken               string `json:"id_token,omitempty"`
}

// token is the token endpoint: RFC 6749 §3.2.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		answerJSON(w, http.StatusBadRequest, &oauthError{Code: "invalid_request"})
		return
	}
	p.mu.Lock()
	p.tokenCalls[r.PostForm.Get("grant_type")]++
	p.mu.Unlock()

	fault, delay := p.Faults.tokenFault()
	if p.answersFault(w, fault) {
		return
	}
	answer, err := p.issue(r)
	answer.disfigure(fault)
	p.pause(r, delay)
	var refused *oauthError
	switch {
	case fault == TokenStall:
		p.logf("oauth: a token request is left without an answer")
		p.pause(r, -1)
	case fault == TokenCut:
		p.cutAnswer(w, answer)
	case errors.As(err, &refused):
		answerJSON(w, refused.status, refused)
	case fault == TokenTruncated:
		p.truncateAnswer(w, answer)
	case fault == TokenWrongType:
		p.mislabelAnswer(w, answer)
	default:
		answerJSON(w, http.StatusOK, answer)
	}
}

// issue does the work of the token endpoint.
func (p *Provider) issue(r *http.Request) (*tokenAnswer, error) {
	if r.PostForm.Get("grant_type") == grantJWTBearer {
		return p.exchangeAssertion(r.PostForm) // the assertion is proof enough
	}
	if err := p.authenticate(r); err != nil {
		return nil, err
	}
	switch r.PostForm.Get("grant_type") {
	case grantDeviceCode:
		return p.exchangeDevice(r.PostForm)
	case "client_credentials":
		return p.appToken(r.PostForm)
	case "authorization_code":
		return p.exchange(r.PostForm)
	case "refresh_token":
		return p.refresh(r.PostForm.Get("refresh_token"))
	}
	return nil, p.refuse(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+shown(r.PostForm.Get("grant_type")))
}

// exchange redeems a code: RFC 6749 §4.1.3, with PKCE as in RFC 7636 §4.6.
func (p *Provider) exchange(form url.Values) (*tokenAnswer, error) {
	code := p.grants.takeCode(form.Get("code"))
	switch {
	case code == nil:
		return nil, p.refuse(http.StatusBadRequest, "invalid_grant", "Malformed auth code.")
	case form.Get("redirect_uri") != code.redirectURI:
		return nil, p.refuse(http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request")
	case !verifies(form.Get("code_verifier"), code.challenge):
		return nil, p.refuse(http.StatusBadRequest, "invalid_grant", "Invalid code verifier.")
	}
	return p.begin(code.grant), nil
}

// begin issues the first tokens of what a person allowed.
func (p *Provider) begin(gr *grant) *tokenAnswer {
	if p.options.GrantLife > 0 {
		gr.ends = time.Now().Add(p.options.GrantLife)
	}
	p.logf("oauth: issued the first tokens of %s", gr.mailbox)
	return p.answer(p.grants.begin(gr, p.options.TokenLife))
}

// verifies checks a PKCE verifier. One without a challenge is refused too: its
// sender believes in a protection that somebody on the way has taken out (RFC
// 9700 §2.1.1, PKCE downgrade).
func verifies(verifier, challenge string) bool {
	if challenge == "" {
		return verifier == ""
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}

func (p *Provider) refresh(token string) (*tokenAnswer, error) {
	out, reuse, ok := p.grants.renew(token, p.Faults.rotates(), p.options.TokenLife)
	if reuse {
		p.logf("oauth: a refresh token of %s was used after its successor: the grant is revoked", out.grant.mailbox)
	}
	if !ok {
		return nil, p.refuse(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	p.logf("oauth: refreshed the access token of %s", out.grant.mailbox)
	return p.answer(out), nil
}

func (p *Provider) answer(i issued) *tokenAnswer {
	a := &tokenAnswer{
		AccessToken:  i.access,
		ExpiresIn:    int(p.options.TokenLife / time.Second),
		RefreshToken: i.refresh,
		Scope:        i.grant.scope,
		TokenType:    "Bearer",
	}
	if !i.grant.ends.IsZero() {
		a.RefreshTokenExpiresIn = int(time.Until(i.grant.ends) / time.Second)
	}
	if slices.Contains(strings.Fields(i.grant.scope), "openid") && !i.grant.nobody {
		a.IDToken = p.idToken(i.grant)
	}
	return a
}

func (p *Provider) refuse(status int, code, description string) error {
	p.logf("oauth: refused a token request: %s (%s)", code, description)
	return &oauthError{Code: code, Description: description, status: status}
}

// now is the time by the provider's clock.
func (p *Provider) now() time.Time { return time.Now().Add(p.Faults.clockError()) }

// dated tells the provider's time with every answer.
func (p *Provider) dated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", p.now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // the types are ours and hold nothing that JSON cannot say
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// isLoopback tells whether an address is one a desktop program may be
// redirected to: plain http to this machine, any port (RFC 8252 §7.3).
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
