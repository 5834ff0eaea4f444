package oauthserver

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
)

// tokenAnswer has the shape of Google's.
type tokenAnswer struct {
	AccessToken           string `json:"access_token"`
	ExpiresIn             any    `json:"expires_in"` // a number, unless a fault says otherwise
	RefreshToken          string `json:"refresh_token,omitempty"`
	Scope                 string `json:"scope,omitempty"`
	TokenType             string `json:"token_type"`
	RefreshTokenExpiresIn int    `json:"refresh_token_expires_in,omitempty"`
	IDToken               string `json:"id_token,omitempty"`
}

// tokenEndpoint is the token endpoint: RFC 6749 §3.2.
type tokenEndpoint struct {
	*Server
	devices *devices
}

// serve answers a token request.
func (e *tokenEndpoint) serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		answerJSON(w, http.StatusBadRequest, &oauthError{Code: "invalid_request"})
		return
	}
	e.mu.Lock()
	e.tokenCalls[r.PostForm.Get("grant_type")]++
	e.mu.Unlock()

	injected, delay := e.faults.TokenFault()
	if answersFault(e.log, w, injected) {
		return
	}
	answer, err := e.issue(r)
	answer.disfigure(injected)
	e.pause(r, delay)
	var refused *oauthError
	switch {
	case injected == fault.TokenStall:
		e.log.Printf("oauth: a token request is left without an answer")
		e.pause(r, -1)
	case injected == fault.TokenCut:
		cutAnswer(e.log, w, answer)
	case errors.As(err, &refused):
		answerJSON(w, refused.status, refused)
	case injected == fault.TokenTruncated:
		truncateAnswer(w, answer)
		e.log.Printf("oauth: truncated the answer to a token request")
	case injected == fault.TokenWrongType:
		mislabelAnswer(w, answer)
		e.log.Printf("oauth: gave the answer to a token request another content type")
	default:
		answerJSON(w, http.StatusOK, answer)
	}
}

// issue does the work of the token endpoint.
func (e *tokenEndpoint) issue(r *http.Request) (*tokenAnswer, error) {
	if r.PostForm.Get("grant_type") == grantJWTBearer { // the assertion authenticates
		gr, err := serviceAccountGrant(e.Server, r.PostForm)
		if err != nil {
			return nil, err
		}
		return e.answerOnce(gr), nil
	}
	if err := authenticate(e.Server, r); err != nil {
		return nil, err
	}
	switch r.PostForm.Get("grant_type") {
	case grantDeviceCode:
		gr, err := e.devices.redeem(r.PostForm.Get("device_code"))
		if err != nil {
			return nil, err
		}
		return e.begin(gr), nil
	case "client_credentials":
		gr, err := appGrant(e.Server, r.PostForm)
		if err != nil {
			return nil, err
		}
		answer := e.answerOnce(gr)
		answer.Scope = "" // as requested: RFC 6749 §5.1
		return answer, nil
	case "authorization_code":
		return e.exchange(r.PostForm)
	case "refresh_token":
		return e.refresh(r.PostForm.Get("refresh_token"))
	}
	return nil, e.refuse(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+eventlog.Quote(r.PostForm.Get("grant_type")))
}

// answerOnce issues the one token of a grant without a person.
func (e *tokenEndpoint) answerOnce(gr *grant) *tokenAnswer {
	return e.answer(issued{access: e.grants.beginWithout(gr, e.options.TokenLife), grant: gr})
}

// exchange redeems a code: RFC 6749 §4.1.3, with PKCE as in RFC 7636 §4.6.
func (e *tokenEndpoint) exchange(form url.Values) (*tokenAnswer, error) {
	code := e.grants.takeCode(form.Get("code"))
	switch {
	case code == nil:
		return nil, e.refuse(http.StatusBadRequest, "invalid_grant", "Malformed auth code.")
	case form.Get("redirect_uri") != code.redirectURI:
		return nil, e.refuse(http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request")
	case !verifies(form.Get("code_verifier"), code.challenge):
		return nil, e.refuse(http.StatusBadRequest, "invalid_grant", "Invalid code verifier.")
	}
	return e.begin(code.grant), nil
}

// begin issues the first tokens of a grant that a person gave.
func (e *tokenEndpoint) begin(gr *grant) *tokenAnswer {
	if e.options.GrantLife > 0 {
		gr.ends = time.Now().Add(e.options.GrantLife)
	}
	e.log.Printf("oauth: issued the first tokens of %s", gr.mailbox)
	return e.answer(e.grants.begin(gr, e.options.TokenLife))
}

// verifies checks a PKCE verifier. One without a challenge is refused too: an
// attacker may have removed the challenge on the way (RFC 9700 §2.1.1, PKCE
// downgrade).
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

func (e *tokenEndpoint) refresh(token string) (*tokenAnswer, error) {
	out, reuse, ok := e.grants.renew(token, e.faults.Rotates(), e.options.TokenLife)
	if reuse {
		e.log.Printf("oauth: a refresh token of %s was used after its successor: the grant is revoked", out.grant.mailbox)
	}
	if !ok {
		return nil, e.refuse(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	e.log.Printf("oauth: refreshed the access token of %s", out.grant.mailbox)
	return e.answer(out), nil
}

func (e *tokenEndpoint) answer(i issued) *tokenAnswer {
	a := &tokenAnswer{
		AccessToken:  i.access,
		ExpiresIn:    int(e.options.TokenLife / time.Second),
		RefreshToken: i.refresh,
		Scope:        i.grant.scope,
		TokenType:    "Bearer",
	}
	if !i.grant.ends.IsZero() {
		a.RefreshTokenExpiresIn = int(time.Until(i.grant.ends) / time.Second)
	}
	if slices.Contains(strings.Fields(i.grant.scope), "openid") && !i.grant.nobody {
		a.IDToken = idToken(e.client.ClientID, i.grant, e.now(), e.options.TokenLife)
	}
	return a
}

// pause waits for d, without end if d is negative. If the client or the provider
// goes away meanwhile it panics to abort the request: a return would answer it.
func (e *tokenEndpoint) pause(r *http.Request, d time.Duration) {
	if d == 0 {
		return
	}
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-e.closing:
		panic(http.ErrAbortHandler)
	}
}
