"""Any server with the OpenAI completion routes; which indexer it runs is the user's claim."""
