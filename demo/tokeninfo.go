package demo

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// revoke is the revocation endpoint (RFC 7009), which at Google takes tokens
// of either kind and ends all that their owner allowed the project.
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

// profile is Gmail's users/me/profile, which tells whose a token is:
// https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
func (p *Provider) profile(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, ok := p.grants.use(bearer)
	a := p.accounts[id.mailbox]
	switch {
	case !ok:
		p.refuseAPI(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
		return
	case !id.allows(gmailScope):
		p.refuseAPI(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
		return
	case a == nil: // the token of a service account or a client, that stand for no mailbox
		p.refuseAPI(w, http.StatusBadRequest, "FAILED_PRECONDITION", "Precondition check failed.")
		return
	}
	a.mu.Lock()
	n := 0
	for _, f := range a.folders {
		n += len(f.messages)
	}
	a.mu.Unlock()
	answerJSON(w, http.StatusOK, struct {
		EmailAddress  string `json:"emailAddress"`
		MessagesTotal int    `json:"messagesTotal"`
		ThreadsTotal  int    `json:"threadsTotal"`
		HistoryID     string `json:"historyId"`
	}{a.address, n, n, "1000"})
}

// refuseAPI refuses as Google's APIs do, which are not OAuth endpoints.
func (p *Provider) refuseAPI(w http.ResponseWriter, status int, word, message string) {
	p.logf("oauth: an API call was refused: %s", word)
	type refusal struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	answerJSON(w, status, map[string]refusal{"error": {status, message, word}})
}
