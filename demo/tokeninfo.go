package demo

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// revoke is the revocation endpoint (RFC 7009), which at Google takes tokens
// of either kind and ends the whole grant.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	gr, ok := p.grants.revoke(r.FormValue("token"))
	if !ok {
		answerJSON(w, http.StatusBadRequest, &oauthError{Code: "invalid_token", Description: "Token expired or revoked"})
		return
	}
	p.logf("oauth: the grant of %s was revoked", gr.mailbox)
	answerJSON(w, http.StatusOK, struct{}{})
}

// tokenInfo is Google's tokeninfo. Its numbers are strings there.
func (p *Provider) tokenInfo(w http.ResponseWriter, r *http.Request) {
	id, ok := p.grants.use(r.FormValue("access_token"))
	if !ok {
		p.logf("oauth: tokeninfo was asked about a bad token")
		answerJSON(w, http.StatusBadRequest, &oauthError{Code: "invalid_token", Description: "Invalid Value"})
		return
	}
	answerJSON(w, http.StatusOK, struct {
		AZP           string `json:"azp"`
		Aud           string `json:"aud"`
		Scope         string `json:"scope"`
		Exp           string `json:"exp"`
		ExpiresIn     string `json:"expires_in"`
		Email         string `json:"email"`
		EmailVerified string `json:"email_verified"`
		AccessType    string `json:"access_type"`
	}{
		p.ClientID, p.ClientID, id.scope,
		strconv.FormatInt(id.expires.Unix(), 10),
		strconv.Itoa(int(time.Until(id.expires) / time.Second)),
		id.mailbox, "true", "offline",
	})
}

// introspect is RFC 7662 for mail servers that check tokens by it. Dovecot's
// three modes all work: token=... by GET or POST, and the token as Bearer.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	id, ok := p.grants.use(token)
	if !ok {
		p.logf("oauth: introspection was asked about a bad token")
		answerJSON(w, http.StatusOK, map[string]bool{"active": false})
		return
	}
	answerJSON(w, http.StatusOK, struct {
		Active    bool   `json:"active"`
		Username  string `json:"username"`
		Scope     string `json:"scope"`
		ClientID  string `json:"client_id"`
		TokenType string `json:"token_type"`
		Exp       int64  `json:"exp"`
	}{true, id.mailbox, id.scope, p.ClientID, "Bearer", id.expires.Unix()})
}
