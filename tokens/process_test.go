package tokens

const childEnv = "AUTHFERRY_TEST_CHILD"

func child(part string) int { return 2 }
