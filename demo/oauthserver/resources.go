package oauthserver

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// resourceEndpoints answer questions about tokens, and revoke them.
type resourceEndpoints struct{ *Server }

// revoke is the revocation endpoint (RFC 7009), which at Google takes tokens
// of either kind and revokes all grants of their owner to the project.
func (e *resourceEndpoints) revoke(w http.ResponseWriter, r *http.Request) {
	gr, ok := e.grants.revoke(r.FormValue("token"))
	if !ok {
		answerJSON(w, http.StatusBadRequest, &oauthError{Code: "invalid_token", Description: "Token expired or revoked"})
		return
	}
	e.log.Printf("oauth: the grant of %s was revoked", gr.mailbox)
	answerJSON(w, http.StatusOK, struct{}{})
}

// tokenInfo is Google's tokeninfo. Its numbers are strings there.
func (e *resourceEndpoints) tokenInfo(w http.ResponseWriter, r *http.Request) {
	id, ok := e.grants.use(r.FormValue("access_token"))
	if !ok {
		e.log.Printf("oauth: tokeninfo was asked about a bad token")
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
		e.client.ClientID, e.client.ClientID, id.scope,
		strconv.FormatInt(id.expires.Unix(), 10),
		strconv.Itoa(int(time.Until(id.expires) / time.Second)),
		id.mailbox, "true", "offline",
	})
}

// introspect is RFC 7662 for mail servers that check tokens by it. Dovecot's
// three modes all work: token=... by GET or POST, and the token as Bearer.
func (e *resourceEndpoints) introspect(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	id, ok := e.grants.use(token)
	if !ok {
		e.log.Printf("oauth: introspection was asked about a bad token")
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
	}{true, id.mailbox, id.scope, e.client.ClientID, "Bearer", id.expires.Unix()})
}

// profile is Gmail's users/me/profile, which names the owner of a token:
// https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
func (e *resourceEndpoints) profile(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, ok := e.grants.use(bearer)
	a := e.store.Find(id.mailbox)
	switch {
	case !ok:
		e.refuseAPI(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
		return
	case !id.allows(gmailScope):
		e.refuseAPI(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
		return
	case a == nil: // the token of a service account or a client, which have no mailbox
		e.refuseAPI(w, http.StatusBadRequest, "FAILED_PRECONDITION", "Precondition check failed.")
		return
	}
	n := a.Count()
	answerJSON(w, http.StatusOK, struct {
		EmailAddress  string `json:"emailAddress"`
		MessagesTotal int    `json:"messagesTotal"`
		ThreadsTotal  int    `json:"threadsTotal"`
		HistoryID     string `json:"historyId"`
	}{a.Address(), n, n, "1000"})
}

// refuseAPI refuses as Google's APIs do, which are not OAuth endpoints.
func (e *resourceEndpoints) refuseAPI(w http.ResponseWriter, status int, word, message string) {
	e.log.Printf("oauth: an API call was refused: %s", word)
	type refusal struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	answerJSON(w, status, map[string]refusal{"error": {status, message, word}})
}
