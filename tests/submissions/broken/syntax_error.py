# breaks: file
import methods

class Broken(methods.LossMethod:
    pass
