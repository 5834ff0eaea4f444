package oauthserver

import (
	"encoding/json"
	"net/http"
	"strconv"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
)

// refusalFaults are the faults that are OAuth errors.
var refusalFaults = map[fault.TokenAnswer]oauthError{
	fault.TokenInvalidGrant: {status: http.StatusBadRequest, Code: "invalid_grant", Description: "Token has been expired or revoked."},
	fault.TokenInvalidCli:   {status: http.StatusUnauthorized, Code: "invalid_client", Description: "The OAuth client was not found."},
	fault.TokenInvalidRAPT: {status: http.StatusBadRequest, Code: "invalid_grant", Description: "reauth related error (invalid_rapt)",
		Subtype: "invalid_rapt", URI: "https://support.google.com/a/answer/9368756"},
	fault.TokenAdminPolicy: {status: http.StatusBadRequest, Code: "admin_policy_enforced",
		Description: "Access to your account data is restricted by policies within your organization. Please contact the administrator of your organization for more information."},
	fault.TokenDeletedClient:   {status: http.StatusUnauthorized, Code: "deleted_client", Description: "The OAuth client was deleted."},
	fault.TokenUnauthorizedCli: {status: http.StatusUnauthorized, Code: "unauthorized_client", Description: "Unauthorized"},
	fault.Token500:             {status: http.StatusInternalServerError, Code: "internal_failure", Description: "Backend Error"},
	fault.Token429:             {status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Description: "Rate Limit Exceeded"},
}

// answersFault answers a token request if a fault replaces the answer, and reports
// whether it did.
func answersFault(log *eventlog.Log, w http.ResponseWriter, injected fault.TokenAnswer) bool {
	if e, ok := refusalFaults[injected]; ok {
		if injected == fault.Token429 {
			w.Header().Set("Retry-After", "1")
		}
		answerJSON(w, e.status, e)
		log.Printf("oauth: fault %q answered a token request", string(injected))
		return true
	}
	page := func(status int, html string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		w.Write([]byte(html))
	}
	switch injected {
	case fault.TokenHTML:
		page(http.StatusOK, "<!DOCTYPE html><title>Welcome to the hotel network</title><p>Please accept the terms of use.\n")
	case fault.Token503HTML:
		page(http.StatusServiceUnavailable, "<!DOCTYPE html><title>Error 503 (Service Unavailable)!!1</title><p>The service is temporarily unavailable. That's all we know.\n")
	case fault.TokenEmpty:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusOK)
	default:
		return false
	}
	log.Printf("oauth: fault %q answered a token request", string(injected))
	return true
}

// disfigure changes an answer if a fault says so. The answer is nil if the request was refused.
func (a *tokenAnswer) disfigure(injected fault.TokenAnswer) {
	if a == nil {
		return
	}
	seconds, _ := a.ExpiresIn.(int)
	switch injected {
	case fault.TokenLifeString:
		a.ExpiresIn = strconv.Itoa(seconds)
	case fault.TokenLifeFloat:
		a.ExpiresIn = float64(seconds) + 0.5
	case fault.TokenLifeMissing:
		a.ExpiresIn = nil
	case fault.TokenGrantExpires:
		a.RefreshTokenExpiresIn = 604799
	}
}

// cutAnswer sends half of an answer and closes.
func cutAnswer(log *eventlog.Log, w http.ResponseWriter, answer *tokenAnswer) {
	body := answerBody(answer)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body[:len(body)/2])
	http.NewResponseController(w).Flush()
	log.Printf("oauth: cut the answer to a token request")
	panic(http.ErrAbortHandler) // net/http's way of closing without a word
}

// truncateAnswer sends half of an answer as a complete HTTP response.
func truncateAnswer(w http.ResponseWriter, answer *tokenAnswer) {
	body := answerBody(answer)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Write(body[:len(body)/2])
}

// mislabelAnswer sends an answer with the content type of a page.
func mislabelAnswer(w http.ResponseWriter, answer *tokenAnswer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(answerBody(answer))
}

func answerBody(answer *tokenAnswer) []byte {
	body, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		panic(err) // the type is ours and holds nothing that JSON cannot say
	}
	return body
}
